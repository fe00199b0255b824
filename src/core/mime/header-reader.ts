/**
 * The streaming side of header blocks: takes complete lines from the scanner and keeps the values it needs, unfolded, as
 * octets in strings. One per header block (root, MIME part, nested message); bounded by `FIELD_BYTES_MAX` a field and one
 * budget for the whole message. Same line rule as `header.ts`. Fails never.
 */
import { trimText } from "./byte-text.ts";
import { fieldName } from "./header.ts";
import { DELIVERED_TO_MAX, FIELD_BYTES_MAX, FIELDS_BYTES_TOTAL } from "./limits.ts";
import type { ByteText } from "./structure.ts";

/** Fields of every part (RFC 2045, 2183, 2557, 3282). */
const PART_FIELDS = [
  "content-type",
  "content-transfer-encoding",
  "content-id",
  "content-description",
  "content-md5",
  "content-disposition",
  "content-language",
  "content-location",
] as const;

/** Fields of a message: its ENVELOPE. */
const MESSAGE_FIELDS = [
  ...PART_FIELDS,
  "date",
  "subject",
  "from",
  "sender",
  "reply-to",
  "to",
  "cc",
  "bcc",
  "in-reply-to",
  "message-id",
] as const;

/** Fields of the root alone: what delivery asks for. */
const ROOT_FIELDS = [...MESSAGE_FIELDS, "references", "received", "delivered-to"] as const;

export type FieldKey = (typeof ROOT_FIELDS)[number];
export type HeaderRole = "part" | "message" | "root";

const WANTED: Readonly<Record<HeaderRole, ReadonlySet<string>>> = {
  part: new Set<string>(PART_FIELDS),
  message: new Set<string>(MESSAGE_FIELDS),
  root: new Set<string>(ROOT_FIELDS),
};

/** Repeated ones are joined: hiding a second From would let it pass unseen. */
const ADDRESS_FIELDS: ReadonlySet<string> = new Set(["from", "sender", "reply-to", "to", "cc", "bcc"]);

/** Of these the last one counts, as in Dovecot: both show the same message. Of all others the first. */
const LAST_COUNTS: ReadonlySet<string> = new Set(["date", "subject", "in-reply-to", "message-id"]);

/** First letters of all wanted names, so that most fields are passed over by one look. */
const FIRST_LETTERS: ReadonlySet<number> = new Set(ROOT_FIELDS.map(name => name.charCodeAt(0)));

/** Octets of a line in which the name is looked for: longer than any wanted name and its white space. */
const NAME_BYTES = 64;

/** Octets of values left to keep; shared by all header blocks of one message. */
export interface FieldBudget {
  octetsLeft: number;
  /** A value was cut or left out. */
  exceeded: boolean;
}

export function newFieldBudget(): FieldBudget {
  return { octetsLeft: FIELDS_BYTES_TOTAL, exceeded: false };
}

export class HeaderReader {
  readonly role: HeaderRole;
  readonly #budget: FieldBudget;
  readonly #values = new Map<string, ByteText>();
  readonly deliveredTo: ByteText[] = [];
  receivedCount = 0;
  /** The field that is being read; undefined while its lines are of no interest. */
  #name: string | undefined;
  #text = "";
  #cut = false;

  constructor(role: HeaderRole, budget: FieldBudget) {
    this.role = role;
    this.#budget = budget;
  }

  /** Value of a field, trimmed; undefined when absent. */
  value(key: FieldKey): ByteText | undefined {
    return this.#values.get(key);
  }

  /**
   * Take one physical line.
   *
   * @param bytes       where it lies
   * @param start, end  without its line break
   * @param cut         the line goes on past `end`
   */
  line(bytes: Buffer, start: number, end: number, cut: boolean): void {
    const first = bytes[start];
    if (first === 0x20 || first === 0x09) {
      if (this.#name !== undefined) this.#append(bytes, start, end, cut);
      return;
    }
    this.finish();
    if (first === undefined || !FIRST_LETTERS.has(first | 0x20)) return;
    const head = bytes.toString("latin1", start, Math.min(end, start + NAME_BYTES));
    const name = fieldName(head)?.toLowerCase();
    if (name === undefined || !WANTED[this.role].has(name) || !this.#takes(name)) return;
    this.#name = name;
    this.#append(bytes, start + head.indexOf(":") + 1, end, cut);
  }

  /** Counts what is counted; says whether the value is kept. */
  #takes(name: string): boolean {
    if (name === "received") this.receivedCount++;
    if (name === "delivered-to") return this.deliveredTo.length < DELIVERED_TO_MAX;
    return ADDRESS_FIELDS.has(name) || LAST_COUNTS.has(name) || !this.#values.has(name);
  }

  #append(bytes: Buffer, start: number, end: number, cut: boolean): void {
    if (this.#cut) return;
    const room = Math.min(FIELD_BYTES_MAX - this.#text.length, this.#budget.octetsLeft);
    const length = Math.min(end - start, room);
    if (cut || length < end - start) {
      this.#cut = true;
      this.#budget.exceeded = true;
    }
    this.#budget.octetsLeft -= length;
    this.#text += bytes.toString("latin1", start, start + length);
  }

  /** The field ends (another begins, or the block is over). Safe to call twice. */
  finish(): void {
    const name = this.#name;
    if (name === undefined) return;
    // A list that was cut ends in half an address: a wrong address is worse than none.
    const whole =
      this.#cut && ADDRESS_FIELDS.has(name)
        ? this.#text.slice(0, this.#text.lastIndexOf(",") + 1)
        : this.#text;
    const text = trimText(whole);
    if (name === "delivered-to") this.deliveredTo.push(text);
    else {
      const before = this.#values.get(name);
      const joined = before !== undefined && before !== "" && ADDRESS_FIELDS.has(name);
      this.#values.set(name, joined ? `${before}, ${text}` : text);
    }
    this.#name = undefined;
    this.#text = "";
    this.#cut = false;
  }
}
