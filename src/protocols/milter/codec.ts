/**
 * Milter packets: a packet of the MTA → a command, a response of ours → octets. Pure; keeps nothing.
 *
 * Header fields and bodies stay octets. The rest is text: UTF-8 where it is that, else one character per octet; the protocol
 * promises no charset. What has octets left over behind its last field is malformed, as it is for Postfix.
 *
 * Sources: sendmail libmilter/engine.c, include/libmilter/mfdef.h; Postfix src/milter/milter8.c
 */
import { isUtf8 } from "node:buffer";
import { assertNever } from "../../core/errors.ts";
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

// ---------------------------------------------------------------- responses

/** Names of the macros wanted at one SMFIM_ stage, with braces where the name is longer than a letter. */
export type SymbolList = readonly [stage: number, names: readonly string[]];

/**
 * A response; the names follow SMFIR_*. Texts must hold no NUL. `header` values are sent as given: the blank behind the colon is
 * the caller's with SMFIP_HDR_LEADSPC, the MTA's without.
 */
export type Response =
  | ({ readonly kind: "optneg"; readonly symbols: readonly SymbolList[] } & Options)
  | { readonly kind: "add_header"; readonly name: string; readonly value: string }
  /** `index` 0: above all others. */
  | { readonly kind: "insert_header"; readonly index: number; readonly name: string; readonly value: string }
  /** The `index`th field of the name, from 1; an empty value removes it. */
  | { readonly kind: "change_header"; readonly index: number; readonly name: string; readonly value: string }
  /** With `args` in the SMFIR_ADDRCPT_PAR form. */
  | { readonly kind: "add_recipient"; readonly address: string; readonly args?: string }
  | { readonly kind: "remove_recipient"; readonly address: string }
  | { readonly kind: "change_sender"; readonly address: string; readonly args?: string }
  /** At most {@link s.CHUNK_BYTES}; a longer body is several in a row. */
  | { readonly kind: "replace_body"; readonly bytes: Uint8Array }
  | { readonly kind: "quarantine"; readonly reason: string }
  /** The whole SMTP reply; `%` is doubled here. */
  | { readonly kind: "reply_code"; readonly text: string }
  | {
      readonly kind: "accept" | "continue" | "discard" | "progress" | "reject" | "skip" | "tempfail";
    };

const BARE = {
  accept: s.SMFIR_ACCEPT,
  continue: s.SMFIR_CONTINUE,
  discard: s.SMFIR_DISCARD,
  progress: s.SMFIR_PROGRESS,
  reject: s.SMFIR_REJECT,
  skip: s.SMFIR_SKIP,
  tempfail: s.SMFIR_TEMPFAIL,
} as const;

/** @returns the packet with its length */
export function encodeResponse(response: Response): Buffer {
  switch (response.kind) {
    case "optneg": {
      const { version, actions, steps, symbols } = response;
      const lists = symbols.flatMap(([stage, names]) => [uint32(stage), zString(names.join(" "))]);
      return packet(s.SMFIC_OPTNEG, uint32(version), uint32(actions), uint32(steps), ...lists);
    }
    case "add_header":
      return packet(s.SMFIR_ADDHEADER, zString(response.name), zString(response.value));
    case "insert_header":
      return packet(
        s.SMFIR_INSHEADER,
        uint32(response.index),
        zString(response.name),
        zString(response.value),
      );
    case "change_header":
      return packet(
        s.SMFIR_CHGHEADER,
        uint32(response.index),
        zString(response.name),
        zString(response.value),
      );
    case "add_recipient":
      return response.args === undefined
        ? packet(s.SMFIR_ADDRCPT, zString(response.address))
        : packet(s.SMFIR_ADDRCPT_PAR, zString(response.address), zString(response.args));
    case "remove_recipient":
      return packet(s.SMFIR_DELRCPT, zString(response.address));
    case "change_sender":
      return packet(
        s.SMFIR_CHGFROM,
        zString(response.address),
        ...(response.args === undefined ? [] : [zString(response.args)]),
      );
    case "replace_body":
      return packet(s.SMFIR_REPLBODY, response.bytes);
    case "quarantine":
      return packet(s.SMFIR_QUARANTINE, zString(response.reason));
    case "reply_code":
      // The text is a format string to sendmail; Postfix takes one "%" of two out again.
      return packet(s.SMFIR_REPLYCODE, zString(response.text.replaceAll("%", "%%")));
    case "accept":
    case "continue":
    case "discard":
    case "progress":
    case "reject":
    case "skip":
    case "tempfail":
      return packet(BARE[response.kind]);
    default:
      return assertNever(response);
  }
}

function packet(code: number, ...fields: readonly Uint8Array[]): Buffer {
  const length = fields.reduce((sum, field) => sum + field.length, 1);
  const out = Buffer.allocUnsafe(4 + length);
  out.writeUInt32BE(length, 0);
  out[4] = code;
  let at = 5;
  for (const field of fields) {
    out.set(field, at);
    at += field.length;
  }
  return out;
}

function uint32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32BE(value >>> 0, 0);
  return bytes;
}

function zString(text: string): Buffer {
  return Buffer.from(`${text}\0`, "utf8");
}
