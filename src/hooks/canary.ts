/**
 * On which side of a canary a message is: applied, or shadow. The same message is on the same side at every point, for every
 * recipient, on every node, and when it comes again.
 *
 * What is stable: the Message-ID, which the sender's retries keep too; so who was deferred by a canary cannot try until it looks away.
 * Without one the queue id, which milter, LMTP, jobs and redeliveries share; also where Postfix made the Message-ID (its cleanup does
 * so behind the milter, out of the queue id: RFC 5322 §3.6.4 leaves the form to it). Without that either the header itself.
 * The hash is keyed, so that a sender cannot choose his side by his Message-ID; all nodes have the key. It takes the plugin's id and
 * not the hook's name: the hooks of one plugin see the same messages.
 *
 * What changes sides: another master key. A part of the messages that is larger holds all of the smaller one.
 */
import { createHmac } from "node:crypto";
import { headerFields } from "../core/mime/header.ts";
import type { MessageFacts } from "../core/ports/hooks.ts";
import type { Hook } from "./hook-set.ts";

/** Where a message stands among all, 0 ≤ share < 100. */
export type MessageShare = (facts: MessageFacts, pluginId: string) => number;

/** Longest Message-ID that is looked at, in octets. RFC 5322 §2.1.1: a line has at most 998. */
const MAX_MESSAGE_ID = 998;

/** @param key  the same on all nodes */
export function createMessageShare(key: Uint8Array): MessageShare {
  // Ten thousand recipients are asked about one by one; it is the same for all of them.
  const known = new WeakMap<MessageFacts, Map<string, number>>();
  return (facts, pluginId) => {
    const shares = known.get(facts) ?? new Map<string, number>();
    known.set(facts, shares);
    const share = shares.get(pluginId) ?? shareOf(key, pluginId, facts);
    shares.set(pluginId, share);
    return share;
  };
}

function shareOf(key: Uint8Array, pluginId: string, facts: MessageFacts): number {
  const hmac = createHmac("sha256", key).update(`${pluginId}\0`).update(identityOf(facts));
  return (hmac.digest().readUInt32BE(0) / 0x1_0000_0000) * 100;
}

/** @returns whether the hook's answer about this recipient's copy is applied */
export function isInCanary(
  { canaryFor, canaryPercent, point, plugin }: Hook,
  facts: MessageFacts,
  recipient: string,
  share: MessageShare,
): boolean {
  if (canaryFor.size === 0) return share(facts, plugin.id) < canaryPercent;
  // What is sent is its sender's: recipients of one message do not part there.
  const addresses = point === "pre_send" ? [facts.mailFrom, facts.authUser ?? ""] : [recipient];
  return addresses.some(address => namesOf(address).some(name => canaryFor.has(name)));
}

/** The address, without its detail, and its domain. */
function namesOf(address: string): readonly string[] {
  const name = address.normalize("NFC").toLowerCase();
  const at = name.lastIndexOf("@");
  if (at < 0) return [name];
  const [user = ""] = name.slice(0, at).split("+");
  return [name, `${user}${name.slice(at)}`, name.slice(at + 1)];
}

function identityOf({ queueId, header }: MessageFacts): string | Uint8Array {
  const messageId = messageIdOf(header);
  // The id that is in it, not the one of now: a message that is queued again (`postsuper -r`) has another.
  const [, postfixs] = /^<\d{14}\.([^@]+)@/u.exec(messageId) ?? [];
  if (postfixs !== undefined) return `q${postfixs}`;
  if (messageId !== "") return `m${messageId}`;
  return queueId === "" ? header : `q${queueId}`;
}

function messageIdOf(header: Uint8Array): string {
  for (const { name, value } of headerFields(header)) {
    if (name !== "message-id") continue;
    return Buffer.from(value.subarray(0, MAX_MESSAGE_ID)).toString("latin1").replace(/\s+/gu, "");
  }
  return "";
}
