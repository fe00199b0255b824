/** What must be true of a message of the demonstration once it arrived; each check names what is wrong. */
import type { Deadline } from "../core/deadline.ts";
import { MairustError } from "../core/errors.ts";
import { sleep } from "../platform/deadline.ts";
import type { MessageBody, PlaceBody, TimelineBody } from "../wire/api/messages.ts";
import { readCopies } from "./mail-client.ts";
import type { DemoMessage } from "./messages.ts";
import { POLL_MS, type Sidecar } from "./sidecar.ts";

function wrong(message: DemoMessage, text: string): MairustError {
  return new MairustError("data_invalid", `The demonstration failed at ${message.title}: ${text}`);
}

/** Wait until the timeline says "stored" for every account. @throws {MairustError} `deadline` */
export async function waitStored(
  sidecar: Sidecar,
  message: DemoMessage,
  queueId: string,
  deadline: Deadline,
): Promise<TimelineBody> {
  const path = `/api/v1/messages/${encodeURIComponent(queueId)}/timeline`;
  for (;;) {
    const timeline = await sidecar.ask<TimelineBody>(path);
    const stored = new Set(timeline?.events.filter(e => e.kind === "stored").map(e => e.recipient));
    const missing = message.accounts.filter(account => !stored.has(account));
    if (timeline !== undefined && missing.length === 0) return timeline;
    if (deadline.remainingMs() === 0) {
      throw new MairustError(
        "deadline",
        `The demonstration failed at ${message.title}: not stored for ${missing}`,
      );
    }
    await sleep(POLL_MS);
  }
}

/** The hook tagged and filed every copy, and each account has exactly one. */
export async function checkFiled(sidecar: Sidecar, message: DemoMessage): Promise<void> {
  const query = new URLSearchParams({ q: `msgid:"${message.messageId}"` });
  const list = await sidecar.ask<{ readonly items: readonly MessageBody[] }>(`/api/v1/messages?${query}`);
  const places: readonly PlaceBody[] = (list?.items ?? []).flatMap(item => item.places);
  for (const account of message.accounts) {
    const copies = places.filter(place => place.account === account);
    const [copy] = copies;
    if (copies.length !== 1 || copy === undefined)
      throw wrong(message, `${account} has ${copies.length} copies, not one`);
    if (copy.mailbox !== message.mailbox)
      throw wrong(message, `it lies in ${copy.mailbox}, not in ${message.mailbox}`);
    const untagged = message.tags.filter(tag => !copy.tags.includes(tag));
    if (untagged.length > 0) throw wrong(message, `${account}: the tags ${untagged} are missing`);
  }
  if (places.length !== message.accounts.length) throw wrong(message, `there are ${places.length} copies`);
}

/** Through Dovecot, as a mail program would: one copy, its tags as keywords, its bytes as they were sent. */
export async function checkRead(
  imapPort: number,
  passwordOf: (account: string) => string,
  message: DemoMessage,
  deadline: Deadline,
): Promise<void> {
  for (const account of message.accounts) {
    const login = { imapPort, user: account, password: passwordOf(account) };
    const copies = await readCopies(login, message.mailbox, message.messageId, deadline);
    const [copy] = copies;
    if (copies.length !== 1 || copy === undefined) {
      throw wrong(message, `Dovecot shows ${copies.length} copies to ${account}, not one`);
    }
    const missing = message.tags.filter(tag => !copy.flags.has(tag));
    if (missing.length > 0) throw wrong(message, `Dovecot does not show the tags ${missing} to ${account}`);
    // In front stand the fields of delivery: Return-Path, Delivered-To, Received.
    const own = copy.source.subarray(copy.source.length - message.content.length);
    if (!own.equals(message.content)) throw wrong(message, `${account} reads other bytes than were sent`);
    const front = copy.source.subarray(0, copy.source.length - message.content.length).toString("latin1");
    if (!/^Return-Path: /u.test(front) || !/^Received: /mu.test(front)) {
      throw wrong(message, `${account} sees no trace fields in front`);
    }
  }
}
