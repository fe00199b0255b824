/** Mail that goes round (message path, step 6). Pure. Source: RFC 5321 §6.3. */
import { MairustError } from "../core/errors.ts";
import type { MessageStructure } from "../core/mime/structure.ts";
import type { Account } from "../core/ports/directory.ts";

/** @returns too many hops, or a message that was here for this mailbox before; undefined: neither */
export function loopOf(
  { receivedCount, deliveredTo }: Pick<MessageStructure, "receivedCount" | "deliveredTo">,
  { address }: Account,
  receivedHeaders: number,
): MairustError | undefined {
  const tooManyHops = receivedCount > receivedHeaders;
  const isHere = deliveredTo.some(
    value => Buffer.from(value, "latin1").toString("utf8").toLowerCase() === address,
  );
  if (!tooManyHops && !isHere) return undefined;
  const text = tooManyHops ? "too many hops" : "mail forwarding loop";
  return new MairustError("mail_loop", `Cannot deliver to "${address}": ${text}`, { publicText: text });
}
