/**
 * A packet of the MTA → a command. Pure; keeps nothing. The other way is `responses.ts`.
 *
 * Header fields and bodies stay octets. The rest is text: UTF-8 where it is that, else one character per octet; the protocol
 * promises no charset. What has octets left over behind its last field is malformed, as it is for Postfix.
 *
 * Sources: sendmail libmilter/engine.c, include/libmilter/mfdef.h; Postfix src/milter/milter8.c
 */
import { isUtf8 } from "node:buffer";
import { MilterProtocolError } from "./protocol-error.ts";
import * as s from "./symbols.ts";

/** Version and masks as either side sends them. */
export interface Options {
  readonly version: number;
  readonly actions: number;
  readonly steps: number;
}

/** A command of one kind. */
export type CommandOf<K extends Command["kind"]> = Extract<Command, { readonly kind: K }>;

export type Family = "inet" | "inet6" | "unix" | "unknown";

/** A command of the MTA; the names follow SMFIC_*. */
export type Command =
  | ({ readonly kind: "optneg" } & Options)
  /** `stage`: the SMFIC_ command that the macros belong to. Names come without braces. */
  | {
      readonly kind: "macro";
      readonly stage: number;
      readonly macros: ReadonlyArray<readonly [name: string, value: string]>;
    }
  /** `port` is 0 and `address` "" where the family is unknown. */
  | {
      readonly kind: "connect";
      readonly host: string;
      readonly family: Family;
      readonly port: number;
      readonly address: string;
    }
  | { readonly kind: "helo"; readonly name: string }
  /** `args[0]` is the address, mostly in angle brackets; the rest are ESMTP parameters. */
  | { readonly kind: "mail"; readonly args: readonly string[] }
  | { readonly kind: "rcpt"; readonly args: readonly string[] }
  | { readonly kind: "header"; readonly name: Buffer; readonly value: Buffer }
  | { readonly kind: "body"; readonly bytes: Buffer }
  /** It may carry a last piece of the body (sendmail). */
  | { readonly kind: "eom"; readonly bytes: Buffer }
  | { readonly kind: "unknown"; readonly text: string }
  | { readonly kind: "data" }
  | { readonly kind: "eoh" }
  | { readonly kind: "abort" }
  | { readonly kind: "quit" }
  | { readonly kind: "quit_nc" };

/**
 * Decode one packet.
 *
 * @param packet  octets after the length, at least one
 * @throws {MilterProtocolError} `syntax`: an unknown command, a field without its NUL, or octets left over
 */
export function decodeCommand(packet: Buffer): Command {
  const fields = new Fields(packet);
  const command = readCommand(packet[0] ?? 0, fields);
  fields.end();
  return command;
}

function readCommand(code: number, fields: Fields): Command {
  switch (code) {
    case s.SMFIC_OPTNEG: {
      const options = { version: fields.uint32(), actions: fields.uint32(), steps: fields.uint32() };
      // Later versions may send more behind the masks: not ours to refuse.
      fields.rest();
      return { kind: "optneg", ...options };
    }
    case s.SMFIC_MACRO:
      return { kind: "macro", stage: fields.octet(), macros: readMacros(fields) };
    case s.SMFIC_CONNECT:
      return readConnect(fields);
    case s.SMFIC_HELO:
      return { kind: "helo", name: fields.text() };
    case s.SMFIC_MAIL:
      return { kind: "mail", args: readArguments(fields) };
    case s.SMFIC_RCPT:
      return { kind: "rcpt", args: readArguments(fields) };
    case s.SMFIC_HEADER:
      return { kind: "header", name: fields.string(), value: fields.string() };
    case s.SMFIC_BODY:
      return { kind: "body", bytes: fields.rest() };
    case s.SMFIC_BODYEOB:
      return { kind: "eom", bytes: fields.rest() };
    case s.SMFIC_UNKNOWN:
      return { kind: "unknown", text: fields.text() };
    case s.SMFIC_DATA:
      return { kind: "data" };
    case s.SMFIC_EOH:
      return { kind: "eoh" };
    case s.SMFIC_ABORT:
      return { kind: "abort" };
    case s.SMFIC_QUIT:
      return { kind: "quit" };
    case s.SMFIC_QUIT_NC:
      return { kind: "quit_nc" };
    default:
      throw malformed(`command ${code} is unknown`);
  }
}

function readMacros(fields: Fields): ReadonlyArray<readonly [string, string]> {
  const macros: Array<readonly [string, string]> = [];
  while (fields.more) {
    const name = fields.text();
    macros.push([name.startsWith("{") && name.endsWith("}") ? name.slice(1, -1) : name, fields.text()]);
  }
  return macros;
}

function readArguments(fields: Fields): readonly string[] {
  const args = [fields.text()];
  while (fields.more) args.push(fields.text());
  return args;
}

const FAMILIES: Readonly<Record<number, Family>> = {
  [s.SMFIA_INET]: "inet",
  [s.SMFIA_INET6]: "inet6",
  [s.SMFIA_UNIX]: "unix",
  [s.SMFIA_UNKNOWN]: "unknown",
};

function readConnect(fields: Fields): Command {
  const host = fields.text();
  const family = FAMILIES[fields.octet()];
  if (family === undefined) throw malformed("the client's address family is unknown");
  if (family === "unknown") {
    // Some MTAs send port and address all the same.
    fields.rest();
    return { kind: "connect", host, family, port: 0, address: "" };
  }
  const port = fields.uint16();
  return { kind: "connect", host, family, port, address: fields.text() };
}

/** The fields of one packet, from the second octet on. */
class Fields {
  readonly #packet: Buffer;
  #at = 1;

  constructor(packet: Buffer) {
    this.#packet = packet;
  }

  get more(): boolean {
    return this.#at < this.#packet.length;
  }

  octet(): number {
    return this.#fixed(1)[0] ?? 0;
  }

  uint16(): number {
    return this.#fixed(2).readUInt16BE();
  }

  uint32(): number {
    return this.#fixed(4).readUInt32BE();
  }

  /** Up to its NUL. */
  string(): Buffer {
    const end = this.#packet.indexOf(0, this.#at);
    if (end < 0) throw malformed(`the text at octet ${this.#at} has no end`);
    const string = this.#packet.subarray(this.#at, end);
    this.#at = end + 1;
    return string;
  }

  text(): string {
    return textOf(this.string());
  }

  rest(): Buffer {
    const rest = this.#packet.subarray(this.#at);
    this.#at = this.#packet.length;
    return rest;
  }

  end(): void {
    if (this.more) throw malformed(`${this.#packet.length - this.#at} octets are left over`);
  }

  #fixed(bytes: number): Buffer {
    if (this.#packet.length - this.#at < bytes) throw malformed(`it ends in the field at octet ${this.#at}`);
    this.#at += bytes;
    return this.#packet.subarray(this.#at - bytes, this.#at);
  }
}

function textOf(bytes: Buffer): string {
  return bytes.toString(isUtf8(bytes) ? "utf8" : "latin1");
}

function malformed(what: string): MilterProtocolError {
  return new MilterProtocolError("syntax", `Cannot read packet: ${what}`);
}
