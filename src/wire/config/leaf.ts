/**
 * Builders for the keys of the configuration schema: each takes the default and one line of description, so that
 * no key can stand in the schema without both. Pure data; what the `format` names mean is checked by `platform/config/formats.ts`.
 */
import { type TArray, type TBoolean, type TEnum, type TInteger, type TString, Type } from "typebox";

/**
 * What a text must look like, beyond being a string. An empty text passes where the default is empty.
 * - `listener`: `unix:/path`, `inet:host:port`, `inet:[::1]:port` (also `tls:host:port`)
 * - `plugin_endpoint`: `http://…`, `https://…`, `unix:///path`, `unix:///path:/path-of-request`
 * - `next_hop`: `unix:/path` or `inet:host:port` of a server to connect to
 */
export type TextFormat =
  | "absolute_path"
  | "account_or_domain"
  | "address"
  | "cidr"
  | "domain"
  | "group"
  | "hook_name"
  | "host_name"
  | "http_url"
  | "listener"
  | "mail_address"
  | "next_hop"
  | "octal_mode"
  | "plugin_endpoint"
  | "plugin_id"
  | "postgres_url";

export interface TextOptions {
  readonly format?: TextFormat;
  /** The value may hold a credential: shown masked. */
  readonly secret?: boolean;
  /** Values for the reference page where the default says little. */
  readonly examples?: readonly unknown[];
  readonly minLength?: number;
  readonly maxLength?: number;
}

/** Longest text of any key, in UTF-16 units. */
export const MAX_TEXT = 4096;
/** Most elements of any list. */
export const MAX_LIST = 1000;

/** JSON Schema keywords of a text: undefined ones are left out. */
function textKeywords(description: string, options: TextOptions): Record<string, unknown> {
  return {
    description,
    maxLength: options.maxLength ?? MAX_TEXT,
    ...(options.minLength === undefined ? {} : { minLength: options.minLength }),
    ...(options.format === undefined ? {} : { format: options.format }),
    ...(options.examples === undefined ? {} : { examples: options.examples }),
    ...(options.secret === true ? { secret: true } : {}),
  };
}

/** A text with a default. */
export function text(fallback: string, description: string, options: TextOptions = {}): TString {
  return Type.String({ default: fallback, ...textKeywords(description, options) });
}

/** A text without a default: either required (hooks) or wrapped in `Type.Optional`. */
export function plainText(description: string, options: TextOptions = {}): TString {
  return Type.String(textKeywords(description, options));
}

/** A list of texts; `options` hold for each element. */
export function texts(
  fallback: readonly string[],
  description: string,
  options: TextOptions = {},
): TArray<TString> {
  return Type.Array(Type.String(textKeywords("", options)), {
    default: fallback,
    description,
    maxItems: MAX_LIST,
    ...(options.examples === undefined ? {} : { examples: options.examples }),
  });
}

/** A whole number within `[minimum, maximum]`; the key's name carries the unit. */
export function whole(fallback: number, minimum: number, maximum: number, description: string): TInteger {
  return Type.Integer({ default: fallback, minimum, maximum, description });
}

export function yesNo(fallback: boolean, description: string): TBoolean {
  return Type.Boolean({ default: fallback, description });
}

/** One of a closed set of words. */
export function oneOf<const V extends string>(
  values: readonly V[],
  fallback: V,
  description: string,
): TEnum<V[]> {
  return Type.Enum([...values], { default: fallback, description });
}

/** A list of words of a closed set. */
export function someOf<const V extends string>(
  values: readonly V[],
  fallback: readonly V[],
  description: string,
): TArray<TEnum<V[]>> {
  return Type.Array(Type.Enum([...values]), {
    default: fallback,
    description,
    maxItems: values.length,
    uniqueItems: true,
  });
}
