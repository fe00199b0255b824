/**
 * Edits of an accepted message → packets, checked as a whole before the first is made. Pure.
 *
 * Changes of header fields come first, from the last field of a name to the first: some MTAs count a removed field on, some do
 * not, and so the numbers mean the fields as received with all of them.
 *
 * Sources: sendmail libmilter/smfi.c, milter.c; Postfix src/milter/milter8.c (a body in one run of packets), cleanup_milter.c
 */
import { assertNever, MairustError } from "../../core/errors.ts";
import type { MilterEdit, ReservedField } from "../../core/ports/milter.ts";
import type { Options } from "./codec.ts";
import { ADDRESS_BYTES, EDIT_PACKET_BYTES, type MilterLimits, REPLY_TEXT_BYTES } from "./limits.ts";
import { encodeResponse, type Response } from "./responses.ts";
import * as s from "./symbols.ts";

/** Only we set these; from outside they are removed (mail-path.md §1). */
const RESERVED = /^x-mairust-/iu;

export function isReserved(name: string): boolean {
  return RESERVED.test(name);
}

/** @returns edits that remove these fields, each by its number among those of its name */
export function removalEdits(fields: readonly ReservedField[]): readonly MilterEdit[] {
  const seen = new Map<string, number>();
  return fields.map(([name]) => {
    const key = name.toLowerCase();
    const index = (seen.get(key) ?? 0) + 1;
    seen.set(key, index);
    return { kind: "change_header", index, name, value: "" };
  });
}

const NEEDED_ACTION: Readonly<Record<MilterEdit["kind"], number>> = {
  add_header: s.SMFIF_ADDHDRS,
  insert_header: s.SMFIF_ADDHDRS,
  change_header: s.SMFIF_CHGHDRS,
  add_recipient: s.SMFIF_ADDRCPT,
  remove_recipient: s.SMFIF_DELRCPT,
  replace_body: s.SMFIF_CHGBODY,
  quarantine: s.SMFIF_QUARANTINE,
};

/** @returns the kinds of edit that were negotiated */
export function possibleEdits(agreed: Options): ReadonlySet<MilterEdit["kind"]> {
  const all: ReadonlyArray<MilterEdit["kind"]> = [
    "add_header",
    "insert_header",
    "change_header",
    "add_recipient",
    "remove_recipient",
    "replace_body",
    "quarantine",
  ];
  return new Set(all.filter(kind => (agreed.actions & NEEDED_ACTION[kind]) !== 0));
}

/**
 * @returns the packets, one after the other
 * @throws {MairustError} `invalid_argument`: one of them is not allowed or malformed, so none is to be sent
 */
export function encodeEdits(edits: readonly MilterEdit[], agreed: Options, limits: MilterLimits): Buffer {
  if (edits.length > limits.edits) throw refuse(`"${edits.length}" edits are too many`);
  if (edits.filter(({ kind }) => kind === "replace_body").length > 1) throw refuse("two bodies");
  const packets: Buffer[] = [];
  let bytes = 0;
  for (const edit of inOrder(edits)) {
    if ((agreed.actions & NEEDED_ACTION[edit.kind]) === 0) throw refuse(`${edit.kind} was not negotiated`);
    for (const response of responses(edit, (agreed.steps & s.SMFIP_HDR_LEADSPC) !== 0)) {
      const packet = encodeResponse(response);
      if (packet.length > EDIT_PACKET_BYTES + 5) throw refuse(`${edit.kind} has "${packet.length}" octets`);
      bytes += packet.length;
      if (bytes > limits.editBytes) throw refuse(`all edits have more than "${limits.editBytes}" octets`);
      packets.push(packet);
    }
  }
  return Buffer.concat(packets);
}

function inOrder(edits: readonly MilterEdit[]): readonly MilterEdit[] {
  const changes = edits.filter(edit => edit.kind === "change_header").sort((a, b) => b.index - a.index);
  return [...changes, ...edits.filter(({ kind }) => kind !== "change_header")];
}

function responses(edit: MilterEdit, ownBlank: boolean): readonly Response[] {
  switch (edit.kind) {
    case "add_header":
      return [{ ...edit, name: checkedName(edit.name), value: fieldValue(edit.value, ownBlank) }];
    case "insert_header":
    case "change_header": {
      const least = edit.kind === "change_header" ? 1 : 0;
      if (!Number.isInteger(edit.index) || edit.index < least || edit.index > 0x7fff_ffff) {
        throw refuse(`index "${edit.index}" is out of range`);
      }
      return [{ ...edit, name: checkedName(edit.name), value: fieldValue(edit.value, ownBlank) }];
    }
    case "add_recipient":
    case "remove_recipient":
      return [{ kind: edit.kind, address: `<${checkedAddress(edit.address)}>` }];
    case "replace_body":
      return bodyPieces(edit.body);
    case "quarantine":
      return [{ kind: "quarantine", reason: checkedReason(edit.reason) }];
    default:
      return assertNever(edit);
  }
}

/** RFC 5322 §2.2, §2.1.1. */
export function isFieldName(name: string): boolean {
  return /^[\x21-\x39\x3b-\x7e]{1,998}$/u.test(name);
}

function checkedName(name: string): string {
  if (!isFieldName(name)) throw refuse(`field name "${name.slice(0, 50)}" is malformed`);
  return name;
}

/** Lines of a folded value are parted by LF alone. With SMFIP_HDR_LEADSPC the blank behind the colon is ours. */
function fieldValue(value: string, ownBlank: boolean): string {
  const lines = value.replaceAll("\r\n", "\n");
  if (/[\0\r]|\n(?![ \t])|\n[ \t]*(?:\n|$)/u.test(lines))
    throw refuse("a field's value breaks out of its field");
  return ownBlank && lines !== "" ? ` ${lines}` : lines;
}

function checkedAddress(address: string): string {
  const bytes = Buffer.byteLength(address);
  // Brackets within quotes are legal, and no address that anybody adds has them.
  if (bytes === 0 || bytes > ADDRESS_BYTES || /[\u0000-\u0020\u007f-\u009f<>]/u.test(address)) {
    throw refuse("an address is malformed");
  }
  return address;
}

function checkedReason(reason: string): string {
  if (!new RegExp(`^[\\x20-\\x7e]{1,${REPLY_TEXT_BYTES}}$`, "u").test(reason))
    throw refuse("the reason is malformed");
  return reason;
}

/** An empty body is one packet too: the MTA would keep the old one. */
function bodyPieces(body: readonly Uint8Array[]): readonly Response[] {
  const pieces: Response[] = [];
  for (const part of body) {
    for (let at = 0; at < part.length; at += s.CHUNK_BYTES) {
      pieces.push({ kind: "replace_body", bytes: part.subarray(at, at + s.CHUNK_BYTES) });
    }
  }
  return pieces.length === 0 ? [{ kind: "replace_body", bytes: Buffer.alloc(0) }] : pieces;
}

function refuse(what: string): MairustError {
  return new MairustError("invalid_argument", `Cannot edit message: ${what}`);
}
