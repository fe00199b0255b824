/** Scenes at SMTP time: a message that is refused while its sender is connected, and one that is held and let go. */
import type { Deadline } from "../core/deadline.ts";
import { MairustError } from "../core/errors.ts";
import { deadlineAfter } from "../platform/deadline.ts";
import type { HeldBody, ReleasedBody } from "../wire/api/held.ts";
import type { MessageBody, TimelineBody } from "../wire/api/messages.ts";
import { checkFiled, checkRead, waitStored } from "./checks.ts";
import { sendMail, tryToSend } from "./mail-client.ts";
import type { DemoMessage } from "./messages.ts";
import { MESSAGE_MS, type Stage } from "./stage.ts";

/** At the end of a refusal, for `mairust explain`. */
const TRACE_ID = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/u;

/** The sender is told, and nobody gets it. */
export async function showRefused(stage: Stage, message: DemoMessage): Promise<void> {
  const { options, sidecar, postfix, stop } = stage;
  const deadline = deadlineAfter(MESSAGE_MS, stop);
  const answer = await tryToSend(postfix.smtpPort, message, deadline);
  if (answer.kind !== "refused" || answer.code !== 550)
    throw wrong(message, `Postfix answered "${answer.text}"`);
  const id = TRACE_ID.exec(answer.text)?.[0];
  if (id === undefined) throw wrong(message, `"${answer.text}" names no id`);
  if ((await copiesOf(stage, message)) > 0) throw wrong(message, "somebody got it");
  options.say(`✓ ${message.title}: refused, while its sender was connected`);
  options.say(`  ${answer.text}`);
  const timeline = await sidecar.ask<TimelineBody>(`/api/v1/messages/${id}/timeline`);
  if (timeline !== undefined) options.showTimeline(timeline);
  options.say("");
  deadline.dispose();
}

/** The sender is told that it was taken; it waits for somebody's decision, and then arrives. */
export async function showHeld(stage: Stage, message: DemoMessage): Promise<void> {
  const { options, sidecar, postfix, stop } = stage;
  const deadline = deadlineAfter(MESSAGE_MS, stop);
  const queueId = await sendMail(postfix.smtpPort, message, deadline);
  const list = await sidecar.ask<{ readonly items: readonly HeldBody[] }>("/api/v1/held");
  const hold = list?.items.find(one => one.queue_id === queueId);
  if (hold === undefined) throw wrong(message, "it is not held");
  if ((await copiesOf(stage, message)) > 0) throw wrong(message, "somebody got it although it is held");
  await postfix.waitQueueEmpty(deadline);
  options.say(`  held by ${hold.hook}: ${hold.reason}; "${hold.subject}" waits for a decision`);
  const { kept } = await sidecar.order<ReleasedBody>(`/api/v1/held/${hold.id}/release`);
  if (kept.length > 0) throw wrong(message, `it stays held: ${kept.map(({ text }) => text).join("; ")}`);
  await showReleased(stage, message, deadline);
  deadline.dispose();
}

async function showReleased(stage: Stage, message: DemoMessage, deadline: Deadline): Promise<void> {
  const { options, sidecar, dovecot, password } = stage;
  // Released mail goes through Postfix again, under another queue id: its own Message-ID finds it.
  const timeline = await waitStored(sidecar, message, message.messageId, deadline);
  await checkFiled(sidecar, message);
  await checkRead(dovecot.imapPort, () => password, message, deadline);
  options.say(
    `✓ ${message.title}: 1 copy in ${message.mailbox}, tagged ${message.tags.join(", ")}, bytes equal`,
  );
  options.showTimeline(timeline);
  options.say("");
}

async function copiesOf({ sidecar }: Stage, message: DemoMessage): Promise<number> {
  const query = new URLSearchParams({ q: `msgid:"${message.messageId}"` });
  const list = await sidecar.ask<{ readonly items: readonly MessageBody[] }>(`/api/v1/messages?${query}`);
  return (list?.items ?? []).reduce((sum, { places }) => sum + places.length, 0);
}

function wrong(message: DemoMessage, text: string): MairustError {
  return new MairustError("data_invalid", `The demonstration failed at ${message.title}: ${text}`);
}
