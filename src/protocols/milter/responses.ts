/**
 * A response of ours → a packet. Pure.
 * Sources: sendmail libmilter/engine.c, smfi.c, include/libmilter/mfdef.h; Postfix src/milter/milter8.c
 */
import { assertNever } from "../../core/errors.ts";
import type { Options } from "./codec.ts";
import * as s from "./symbols.ts";

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
