/** Messages that our SORT and THREAD put elsewhere than Dovecot 2.3, and why. What has no line here is an error of ours. */
import type { SortCriterion } from "../../src/core/ports/message-order.ts";
import type { NamedMessage } from "./torture.ts";

export interface OrderReason {
  readonly key: SortCriterion["key"];
  readonly why: string;
  covers(message: NamedMessage): boolean;
}

const headOf = ({ bytes }: NamedMessage) => bytes.toString("latin1").split("\r\n\r\n", 1)[0] ?? "";
const fieldsOf = (message: NamedMessage, name: string) =>
  headOf(message).match(new RegExp(`^${name}[ \\t]*:.*(?:\\r\\n[ \\t].*)*`, "gimu")) ?? [];
const isUtf8 = (text: string) => {
  const octets = Buffer.from(text, "latin1");
  return octets.equals(Buffer.from(octets.toString("utf8")));
};

export const ORDER_REASONS: readonly OrderReason[] = [
  {
    key: "DATE",
    why: "a day that can be read counts although the time after it is broken (RFC 5256 §2.2); Dovecot takes the arrival",
    covers: ({ name }) => name.endsWith("error_emails__bad_date_header2.eml"),
  },
  {
    key: "DATE",
    why: "Dovecot knows no days before 1970",
    covers: message =>
      fieldsOf(message, "date").some(field => /\b(?:19[0-6]\d|0\d{3})\b/u.test(field.slice(0, 30))),
  },
  {
    key: "DATE",
    why: "of two Date fields the last one counts, as ENVELOPE tells it; Dovecot sorts by the first",
    covers: message => fieldsOf(message, "date").length > 1,
  },
  {
    key: "SUBJECT",
    why: "of two Subject fields the last one counts, as ENVELOPE tells it; Dovecot sorts by the first",
    covers: message => fieldsOf(message, "subject").length > 1,
  },
  {
    key: "SUBJECT",
    why: "octets that are no UTF-8 are read as Windows-1252; Dovecot puts a mark for each",
    covers: message => fieldsOf(message, "subject").some(field => !isUtf8(field)),
  },
  {
    key: "TO",
    why: "what is no address gives none; Dovecot tells MISSING_MAILBOX for it",
    covers: ({ name }) => name.endsWith("error_emails__weird_to_header.eml"),
  },
  {
    key: "TO",
    why: "a colon in a local part: all of it counts; of Dovecot's what stands before the colon",
    covers: message => fieldsOf(message, "to").some(field => field.includes("<C:`")),
  },
];
