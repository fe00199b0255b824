/**
 * The root header fields of one message as plugins and filters see them: top to bottom, unfolded, decoded, without controls.
 * Decoding is lazy and done once per message, whatever the number of hooks.
 */
import { MAX_HEADER_FIELD_BYTES, MAX_HEADER_FIELDS, MAX_HEADERS_BYTES } from "../wire/hook-payload.ts";
import { decodeHeaderValue, headerFields } from "./mime/header.ts";
import { cutUtf8, utf8Length } from "./utf8-cut.ts";

export interface SentHeader {
  readonly name: string;
  readonly value: string;
}

/** Never sent, whatever the grant: blind recipients, and fields that only we may set (here they are somebody else's). */
function isSecret(lowerName: string): boolean {
  return lowerName === "bcc" || lowerName === "resent-bcc" || lowerName.startsWith("x-mairust-");
}

/** Octets of a field that are decoded: eight times what is sent at most, so that encoded words cannot run short. */
const MAX_RAW_FIELD_BYTES = 8 * MAX_HEADER_FIELD_BYTES;

interface LazyField {
  readonly name: string;
  readonly lower: string;
  readonly raw: Uint8Array;
  /** `raw` is only the start of it. */
  readonly cut: boolean;
  value: string | undefined;
}

export class HeaderView {
  readonly #header: Uint8Array;
  #fields: readonly LazyField[] | undefined;

  /** @param header  raw root header block */
  constructor(header: Uint8Array) {
    this.#header = header;
  }

  /** Decoded values of a field, for filters. */
  valuesOf(lowerName: string): readonly string[] {
    return this.#all()
      .filter(field => field.lower === lowerName)
      .map(decoded);
  }

  /**
   * What a grant lets through, within the limits of the contract.
   * @param allowed  true, or names in lower case
   * @returns        `truncated` iff a field or a part of one was left out for its size
   */
  select(allowed: true | ReadonlySet<string>): {
    readonly fields: readonly SentHeader[];
    readonly truncated: boolean;
  } {
    const fields: SentHeader[] = [];
    let bytes = 0;
    let truncated = false;
    for (const field of this.#all()) {
      if (isSecret(field.lower) || (allowed !== true && !allowed.has(field.lower))) continue;
      if (fields.length === MAX_HEADER_FIELDS) return { fields, truncated: true };
      const full = decoded(field);
      const value = cutUtf8(full, MAX_HEADER_FIELD_BYTES);
      truncated ||= field.cut || value.length < full.length;
      bytes += field.name.length + utf8Length(value);
      if (bytes > MAX_HEADERS_BYTES) return { fields, truncated: true };
      fields.push({ name: field.name, value });
    }
    return { fields, truncated };
  }

  #all(): readonly LazyField[] {
    this.#fields ??= Array.from(headerFields(this.#header), field => ({
      name: field.nameRaw,
      lower: field.name,
      raw: field.value.subarray(0, MAX_RAW_FIELD_BYTES),
      cut: field.value.length > MAX_RAW_FIELD_BYTES,
      value: undefined,
    }));
    return this.#fields;
  }
}

function decoded(field: LazyField): string {
  field.value ??= decodeHeaderValue(field.raw)
    .replace(/\p{Cc}/gu, " ")
    .trim();
  return field.value;
}
