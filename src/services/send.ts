/** Use cases on mail that goes out: send one, and see what became of what was sent. */
import { MairustError } from "../core/errors.ts";
import type { OutgoingFilter, OutgoingRecord } from "../core/ports/outbox.ts";
import type { SendAsked, SentMail } from "../core/ports/sending.ts";
import { type Actor, audited } from "./audit.ts";
import { type PageAsked, type PageGiven, pageGiven, pageRequest } from "./paging.ts";
import type { ServicePorts } from "./ports.ts";

/** Who may send in this version is the administrator, for any account here. @throws {MairustError} see `MailSender.send` */
export function sendMail(ports: ServicePorts, asked: SendAsked, { who }: Actor): Promise<SentMail> {
  const { mail } = asked;
  const entry = { actor: who, action: "mail.send", object: mail.from ?? "", detail: { kind: mail.kind } };
  return audited(ports, entry, asked, () => ports.sender.send(asked));
}

/** Newest first. */
export async function listOutgoing(
  ports: ServicePorts,
  filter: OutgoingFilter,
  asked: PageAsked,
): Promise<PageGiven<OutgoingRecord>> {
  return pageGiven(await ports.outbox.list(filter, pageRequest(asked)));
}

/** @throws {MairustError} `not_found` */
export function getOutgoing(ports: ServicePorts, id: string): Promise<OutgoingRecord> {
  return ports.outbox.get(id);
}

/** @throws {MairustError} `invalid_argument`: it is no base64 */
export function attachmentBytes(filename: string, base64: string): Uint8Array {
  const text = base64.replace(/\s+/gu, "");
  const bytes = Buffer.from(text, "base64");
  // The decoder ignores what it does not know.
  if (bytes.toString("base64").replace(/=+$/u, "") === text.replace(/=+$/u, "")) return bytes;
  const reason = `attachment ${JSON.stringify(filename)} is no base64`;
  throw new MairustError("invalid_argument", `Cannot send: ${reason}`, { publicText: reason });
}
