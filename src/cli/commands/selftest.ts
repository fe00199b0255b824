/**
 * `mairust selftest`: one message through the LMTP listener of the configuration, to an account, and its timeline. It stays in the
 * mailbox. Fails when the listener refuses, or when the message is not stored in time.
 */
import { randomUUID } from "node:crypto";
import type { LoadedConfig } from "../../platform/config/load.ts";
import { sleep } from "../../platform/deadline.ts";
import type { AccountBody } from "../../wire/api/accounts.ts";
import type { PageBody } from "../../wire/api/common.ts";
import type { TimelineBody } from "../../wire/api/messages.ts";
import { type Client, connect, segment } from "../client.ts";
import type { CommandContext } from "../command.ts";
import { CommandError, EXIT } from "../exit-codes.ts";
import { sendByLmtp } from "../lmtp-client.ts";
import { wholeOption } from "../numbers.ts";
import { printable } from "../text.ts";
import { printTimeline } from "../timeline.ts";

/** Time between two looks at the timeline. */
const POLL_MS = 100;

export async function selftest({ terminal, format, options, load }: CommandContext): Promise<number> {
  const timeoutS = wholeOption(options, "timeout", 30, { min: 1, max: 3600 });
  const { client, loaded } = await connect(load);
  const to = options.text("to") ?? (await firstAccount(client));
  const messageId = `<selftest.${randomUUID()}@${loaded.config.hostname}>`;
  const [listener] = loaded.config.lmtp.listen;
  if (listener === undefined) throw new CommandError(EXIT.configuration, "lmtp.listen is empty");
  const startedAt = performance.now();
  const reply = await sendByLmtp(listener, {
    from: "",
    to,
    content: testMessage(loaded, messageId, to),
    timeoutMs: timeoutS * 1000,
  });
  const lmtpMs = Math.round(performance.now() - startedAt);
  terminal.err(`sent to ${printable(to)} by ${listener} in ${lmtpMs} ms: ${printable(reply)}\n`);
  const timeline = await stored(client, messageId, startedAt + timeoutS * 1000);
  printTimeline(terminal, format, timeline);
  return EXIT.ok;
}

async function firstAccount(client: Client): Promise<string> {
  const { body } = await client.get<PageBody<AccountBody>>("/api/v1/accounts", { query: { limit: 1 } });
  const [account] = body.items;
  if (account !== undefined) return account.address;
  throw new CommandError(EXIT.noUser, "there is no account yet: make one, or name an address with --to");
}

function testMessage({ config }: LoadedConfig, messageId: string, to: string): Buffer {
  const lines = [
    `From: mairust selftest <postmaster@${config.hostname}>`,
    `To: <${to}>`,
    "Subject: mairust selftest",
    `Date: ${new Date().toUTCString().replace("GMT", "+0000")}`,
    `Message-ID: ${messageId}`,
    "Auto-Submitted: auto-generated",
    "MIME-Version: 1.0",
    "Content-Type: text/plain; charset=us-ascii",
    "",
    "This message was sent by mairust selftest. It may be deleted.",
    "",
  ];
  return Buffer.from(lines.join("\r\n"));
}

/** The timeline, once it says "stored". @throws {CommandError} 75 when it does not in time */
async function stored(client: Client, messageId: string, endsAt: number): Promise<TimelineBody> {
  for (;;) {
    const answer = await client.get<TimelineBody>(`/api/v1/messages/${segment(messageId)}/timeline`, {
      accept: [404],
    });
    if (answer.status === 200 && answer.body.events.some(event => event.kind === "stored"))
      return answer.body;
    if (performance.now() + POLL_MS > endsAt) {
      throw new CommandError(EXIT.tryLater, `the message ${messageId} is not stored in time`);
    }
    await sleep(POLL_MS);
  }
}
