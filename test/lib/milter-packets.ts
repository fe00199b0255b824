/**
 * Milter packets from the MTA's side, written without the code under test: what a client sends as octets, and what it reads.
 * Sources: sendmail libmilter/engine.c, Postfix src/milter/milter8.c.
 */

export type Field =
  | string
  | Buffer
  | { readonly u32: number }
  | { readonly u16: number }
  | { readonly octet: number };

/** A packet: length, command letter, fields. A string gets its NUL, a buffer is taken as it is. */
export function packet(letter: string, ...fields: readonly Field[]): Buffer {
  const data = Buffer.concat([Buffer.from(letter, "latin1"), ...fields.map(fieldBytes)]);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(data.length);
  return Buffer.concat([length, data]);
}

function fieldBytes(field: Field): Buffer {
  if (Buffer.isBuffer(field)) return field;
  if (typeof field === "string") return Buffer.from(`${field}\0`, "utf8");
  if ("octet" in field) return Buffer.from([field.octet]);
  const bytes = Buffer.alloc("u16" in field ? 2 : 4);
  if ("u16" in field) bytes.writeUInt16BE(field.u16);
  else bytes.writeUInt32BE(field.u32);
  return bytes;
}

/** What Postfix 3.7 offers with `milter_protocol = 6`. */
export const POSTFIX_ACTIONS = 0x1ff;
export const POSTFIX_STEPS = 0x1f_ffff;

export const optneg = (version = 6, actions = POSTFIX_ACTIONS, steps = POSTFIX_STEPS) =>
  packet("O", { u32: version }, { u32: actions }, { u32: steps });

export const macros = (stage: string, values: Readonly<Record<string, string>>) =>
  packet("D", { octet: stage.charCodeAt(0) }, ...Object.entries(values).flat());

export const connect = (host = "client.example", address = "192.0.2.1", port = 4321) =>
  packet("C", host, { octet: address.includes(":") ? 0x36 : 0x34 }, { u16: port }, address);

export const helo = (name = "client.example") => packet("H", name);
export const mail = (...args: readonly string[]) => packet("M", ...args);
export const rcpt = (...args: readonly string[]) => packet("R", ...args);
export const data = () => packet("T");
export const header = (name: string, value: string) => packet("L", name, value);
export const eoh = () => packet("N");
export const body = (text: string | Buffer) => packet("B", Buffer.from(text as string, "latin1"));
export const eom = (text = "") => packet("E", Buffer.from(text, "latin1"));
export const abort = () => packet("A");
export const quit = () => packet("Q");
export const quitNc = () => packet("K");
export const unknown = (text: string) => packet("U", text);

/** One response: its letter and its data as it is. */
export interface Answer {
  readonly letter: string;
  readonly data: Buffer;
}

/** Cuts answers out of octets; keeps what is not whole yet. */
export class AnswerReader {
  #rest: Buffer = Buffer.alloc(0);

  push(chunk: Buffer): readonly Answer[] {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    const answers: Answer[] = [];
    while (this.#rest.length >= 4) {
      const end = 4 + this.#rest.readUInt32BE();
      if (end < 5) throw new Error("an answer without a letter");
      if (this.#rest.length < end) break;
      answers.push({
        letter: this.#rest.toString("latin1", 4, 5),
        data: this.#rest.subarray(5, end),
      });
      this.#rest = this.#rest.subarray(end);
    }
    return answers;
  }

  get left(): number {
    return this.#rest.length;
  }
}

/** `y 550 5.7.1 no\0` → `y 550 5.7.1 no|`: short to compare; NUL becomes `|`. */
export function show({ letter, data }: Answer): string {
  return data.length === 0 ? letter : `${letter} ${data.toString("latin1").replaceAll("\0", "|")}`;
}
