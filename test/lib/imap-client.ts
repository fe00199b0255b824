/**
 * A scriptable IMAP client for tests: sends exactly the octets it is given, reads lines, literals and whole answers. Plays
 * dialog files (`test/dialogs/dialog.ts`) and reads FETCH answers as data.
 */
import { connect, type Socket } from "node:net";

/** Text is latin1: one character per octet. */
export class ImapTestClient {
  readonly socket: Socket;
  #buffer = Buffer.alloc(0);
  #chunks: Buffer[] = [];
  #received = 0;
  /** Octets to collect before the reader is woken: joining them each time would be quadratic. */
  #wanted = 1;
  #ended = false;
  #wake: (() => void) | undefined;
  #tags = 0;

  /** @param to  a port of this host, or a connection that is open */
  constructor(to: number | Socket) {
    this.socket = typeof to === "number" ? connect({ port: to, host: "127.0.0.1", noDelay: true }) : to;
    this.socket.on("data", chunk => {
      this.#chunks.push(chunk);
      this.#received += chunk.length;
      if (this.#received >= this.#wanted) this.#wake?.();
    });
    const end = () => {
      this.#ended = true;
      this.#wake?.();
    };
    this.socket.on("close", end);
    this.socket.on("end", end);
    this.socket.on("error", end);
  }

  send(text: string | Uint8Array): void {
    this.socket.write(typeof text === "string" ? Buffer.from(text, "latin1") : text);
  }

  /** The next line without CRLF; "" when the server closed. Literals are not looked at. */
  async line(): Promise<string> {
    for (;;) {
      const end = this.#buffer.indexOf("\r\n");
      if (end >= 0) {
        const line = this.#buffer.toString("latin1", 0, end);
        this.#buffer = this.#buffer.subarray(end + 2);
        return line;
      }
      if (this.#ended && this.#received === 0) return "";
      await this.#more();
    }
  }

  async octets(count: number): Promise<Buffer> {
    while (this.#buffer.length < count && !this.#ended) await this.#more(count - this.#buffer.length);
    const octets = this.#buffer.subarray(0, count);
    this.#buffer = this.#buffer.subarray(octets.length);
    return octets;
  }

  /** One response line with its literals inside, as `{n}CRLF` + octets. */
  async response(): Promise<string> {
    let text = await this.line();
    for (;;) {
      const literal = /\{(\d+)\}$/u.exec(text);
      if (literal === null) return text;
      const octets = await this.octets(Number(literal[1]));
      text += `\r\n${octets.toString("latin1")}${await this.line()}`;
    }
  }

  /** Send a command and read up to its tagged answer; the tag is taken off the last line. */
  async command(text: string): Promise<string[]> {
    this.#tags += 1;
    const tag = `a${this.#tags}`;
    this.send(`${tag} ${text}\r\n`);
    const responses: string[] = [];
    for (;;) {
      const response = await this.response();
      if (response.startsWith(`${tag} `)) return [...responses, response.slice(tag.length + 1)];
      responses.push(response);
      if (response === "" && this.#ended) return responses;
    }
  }

  async rest(): Promise<string> {
    while (!this.#ended) await this.#more(Number.POSITIVE_INFINITY);
    this.#join();
    const rest = this.#buffer.toString("latin1");
    this.#buffer = Buffer.alloc(0);
    return rest;
  }

  close(): void {
    this.socket.destroy();
  }

  async #more(wanted = 1): Promise<void> {
    this.#wanted = wanted;
    if (this.#received < wanted && !this.#ended) {
      await new Promise<void>(resolve => {
        this.#wake = resolve;
      });
    }
    this.#join();
  }

  #join(): void {
    this.#buffer = Buffer.concat([this.#buffer, ...this.#chunks]);
    this.#chunks = [];
    this.#received = 0;
  }
}

/** One item of a FETCH answer: octets of a string (NUL too), null for NIL, or the raw text of a list or number. */
export type FetchValue = { readonly octets: Buffer } | { readonly text: string } | null;

const NAME = /([A-Z0-9.]+(?:\[[^\]]*\])?(?:<\d+>)?) /y;
const PLAIN = /NIL|\d+|"(?:[^"\\]|\\.)*"/y;
const LITERAL = /\{(\d+)\}\r\n/y;

/**
 * Read `* n FETCH (…)` as {@link ImapTestClient.response} gives it, literals inside.
 * @returns items by name as answered, e.g. `BODY[1.MIME]`, `BODY[]<0>`
 */
export function readFetch(response: string): ReadonlyMap<string, FetchValue> {
  const items = new Map<string, FetchValue>();
  let at = response.indexOf("(") + 1;
  while (response[at] !== ")" && at < response.length) {
    const name = matchAt(NAME, response, at)?.[1];
    if (name === undefined) throw new Error(`not an item of FETCH: ${response.slice(at, at + 80)}`);
    at += name.length + 1;
    const value = readValue(response, at);
    items.set(name, value.value);
    at = value.end;
    if (response[at] === " ") at += 1;
  }
  return items;
}

function readValue(text: string, at: number): { readonly value: FetchValue; readonly end: number } {
  const literal = matchAt(LITERAL, text, at);
  if (literal !== null) {
    const start = at + literal[0].length;
    const end = start + Number(literal[1]);
    return { value: { octets: Buffer.from(text.slice(start, end), "latin1") }, end };
  }
  if (text[at] === "(") {
    const end = listEnd(text, at);
    return { value: { text: text.slice(at, end) }, end };
  }
  const plain = matchAt(PLAIN, text, at)?.[0];
  if (plain === undefined) throw new Error(`not a value of FETCH: ${text.slice(at, at + 80)}`);
  const end = at + plain.length;
  if (plain === "NIL") return { value: null, end };
  if (!plain.startsWith('"')) return { value: { text: plain }, end };
  return { value: { octets: Buffer.from(plain.slice(1, -1).replace(/\\(.)/gu, "$1"), "latin1") }, end };
}

/** End of the list that begins at `at`; strings inside are passed over. */
function listEnd(text: string, at: number): number {
  let depth = 0;
  for (let i = at; i < text.length; i++) {
    const literal = text[i] === "{" ? matchAt(LITERAL, text, i) : null;
    const quoted = text[i] === '"' ? matchAt(PLAIN, text, i)?.[0].length : undefined;
    if (literal !== null) i += literal[0].length + Number(literal[1]) - 1;
    else if (quoted !== undefined) i += quoted - 1;
    else if (text[i] === "(") depth += 1;
    else if (text[i] === ")" && --depth === 0) return i + 1;
  }
  throw new Error(`a list without its end: ${text.slice(at, at + 80)}`);
}

function matchAt(pattern: RegExp, text: string, at: number): RegExpExecArray | null {
  pattern.lastIndex = at;
  return pattern.exec(text);
}
