/**
 * A message that somebody gives as a whole: its header is read, checked and completed, its body passes as it comes.
 *
 * Taken out: Bcc, Resent-Bcc, Return-Path, X-MaiRust-*, an mbox `From ` line. Added where missing: From, Date, Message-ID. A header in
 * which something is no field is refused: the MTA would end the header there, and what we checked would not be what is sent.
 * Sources: RFC 5322 §3.6; RFC 6409 §8 (what a submission server may add).
 */
import { MairustError } from "../core/errors.ts";
import type { MessageId } from "../core/ids.ts";
import { type HeaderField, headerFields, unfold } from "../core/mime/header.ts";
import type { RawMail } from "../core/ports/sending.ts";
import { rfc5322Date } from "./prefix.ts";
import { type Mailbox, parseField, parseMailbox } from "./send-addresses.ts";

/** Octets of a header block. */
const MAX_HEADER_BYTES = 1024 * 1024;
const TAKEN_OUT = /^(?:bcc|resent-bcc|return-path|x-mairust-.*)$/u;
const RECIPIENT_FIELDS: ReadonlySet<string> = new Set(["to", "cc", "bcc"]);

export interface ReadRaw {
  readonly from: Mailbox;
  /** Of Sender, when there is one. */
  readonly sender: Mailbox | undefined;
  readonly recipients: readonly Mailbox[];
  /** With the empty line; lines end in CRLF. */
  readonly header: Buffer;
  /** As it was given. */
  readonly original: Uint8Array;
  /** Lines as they came. */
  readonly body: AsyncIterable<Uint8Array>;
}

/** @throws {MairustError} `data_invalid`, `address_syntax`, `message_too_large`, `not_permitted` (From is another than `from`) */
export async function readRaw(mail: RawMail, id: MessageId, now: Date): Promise<ReadRaw> {
  const { block, body } = await splitHeader(mail.content);
  const fields = fieldsOf(block);
  const given = mail.from === undefined ? undefined : parseMailbox(mail.from, "from");
  const from = whoseOf(fields, "from") ?? given;
  if (from === undefined) throw invalid("it has no From field");
  if (given !== undefined && given.address.raw.toLowerCase() !== from.address.raw.toLowerCase())
    throw notPermitted(`the From field says ${from.address.raw}, not ${given.address.raw}`);
  const recipients =
    mail.to.length > 0
      ? mail.to.map(one => parseMailbox(one, "to"))
      : [...RECIPIENT_FIELDS].flatMap(name => addressesOf(fields, name));
  const missing = [
    ...(named(fields, "from").length === 0 ? [`From: ${from.address.raw}`] : []),
    ...(named(fields, "date").length === 0 ? [`Date: ${rfc5322Date(now)}`] : []),
    ...(named(fields, "message-id").length === 0 ? [`Message-ID: <${id}@${from.address.domain}>`] : []),
  ];
  const kept = fields.filter(({ name }) => !TAKEN_OUT.test(name)).map(one => one.bytes);
  const header = Buffer.concat([
    Buffer.from(missing.map(line => `${line}\r\n`).join(""), "utf8"),
    ...kept,
    Buffer.from("\r\n"),
  ]);
  return { from, sender: whoseOf(fields, "sender"), recipients, header, original: block, body };
}

interface Field {
  readonly name: string;
  readonly value: Uint8Array;
  /** The whole field. */
  readonly bytes: Buffer;
}

/** @throws {MairustError} `data_invalid`: something in it is no field */
function fieldsOf(block: Buffer): readonly Field[] {
  const fields: Field[] = [];
  let at = mboxLineEnd(block);
  for (const field of headerFields(block)) {
    if (field.start !== at) break;
    at = field.end;
    fields.push(fieldOf(block, field));
  }
  const rest = block.subarray(at).toString("latin1");
  if (rest !== "" && rest !== "\r\n") throw invalid("its header has a line that is no field");
  if (/\r(?!\n)|\0/u.test(block.toString("latin1"))) throw invalid("its header holds a bare CR or a NUL");
  return fields;
}

const fieldOf = (block: Buffer, { name, value, start, end }: HeaderField): Field => {
  const bytes = block.subarray(start, end);
  return { name, value, bytes: bytes.at(-1) === 0x0a ? bytes : Buffer.concat([bytes, Buffer.from("\r\n")]) };
};

function mboxLineEnd(block: Buffer): number {
  return block.subarray(0, 5).toString("latin1") === "From " ? block.indexOf(0x0a) + 1 : 0;
}

const named = (fields: readonly Field[], name: string) => fields.filter(one => one.name === name);

const textOf = ({ value }: Field) => Buffer.from(unfold(value), "latin1").toString("utf8").trim();

/** Names stay as they are written: nobody reads them here. */
const addressesOf = (fields: readonly Field[], name: string): readonly Mailbox[] =>
  named(fields, name).flatMap(field => parseField(textOf(field), name));

/** From or Sender: one address, that nobody reads in another way. @throws {MairustError} `data_invalid`, `address_syntax` */
function whoseOf(fields: readonly Field[], name: "from" | "sender"): Mailbox | undefined {
  const [one, ...more] = named(fields, name);
  if (more.length > 0) throw invalid(`it has more than one ${name === "from" ? "From" : "Sender"} field`);
  return one === undefined ? undefined : parseMailbox(textOf(one), name);
}

/** Lines of the block end in CRLF. @throws {MairustError} `message_too_large`: the header does not end; `data_invalid`: it is empty */
async function splitHeader(
  content: AsyncIterable<Uint8Array>,
): Promise<{ readonly block: Buffer; readonly body: AsyncIterable<Uint8Array> }> {
  const iterator = content[Symbol.asyncIterator]();
  const chunks: Uint8Array[] = [];
  let size = 0;
  // As if an empty line could follow the start: then the header is empty.
  let tail = "\n";
  let end = -1;
  while (end < 0) {
    const next = await iterator.next();
    if (next.done === true) break;
    chunks.push(next.value);
    // Only what is new: a header may come octet by octet.
    const text = tail + Buffer.from(next.value).toString("latin1");
    const found = /\n\r?\n/u.exec(text);
    if (found !== null) end = size - tail.length + found.index + found[0].length;
    tail = text.slice(-2);
    size += next.value.length;
    if (end < 0 && size > MAX_HEADER_BYTES) throw headerTooLarge();
  }
  if (size === 0) throw invalid("it is empty");
  const head = Buffer.concat(chunks);
  const block = end < 0 ? head : head.subarray(0, end);
  const lines = block.toString("latin1").replace(/\r?\n/gu, "\r\n");
  const rest = head.subarray(block.length);
  return { block: Buffer.from(lines, "latin1"), body: bodyOf(rest, iterator) };
}

function headerTooLarge(): MairustError {
  const text = `the header has more than ${MAX_HEADER_BYTES} octets`;
  return new MairustError("message_too_large", `Cannot send: ${text}`, { publicText: text });
}

async function* bodyOf(first: Buffer, iterator: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  if (first.length > 0) yield first;
  try {
    for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) yield next.value;
  } finally {
    await iterator.return?.();
  }
}

function invalid(text: string): MairustError {
  return new MairustError("data_invalid", `Cannot send the message: ${text}`, { publicText: text });
}

function notPermitted(text: string): MairustError {
  return new MairustError("not_permitted", `Cannot send the message: ${text}`, { publicText: text });
}
