/** The items of an answer that change the message itself: header fields to add, text to append, blind recipients. */
import {
  HEADER_NAME_PATTERN,
  MAX_ADDED_BCC,
  MAX_ADDED_HEADERS,
  MAX_APPEND_TEXT_BYTES,
  MAX_HEADER_VALUE_BYTES,
} from "../wire/answer.ts";
import {
  hasControls,
  hasLoneSurrogate,
  isText,
  Malformed,
  type RawObject,
  readObject,
  readStrings,
} from "./answer-read.ts";
import { type ItemContext, may } from "./answer-rights.ts";
import { utf8Length } from "./utf8-cut.ts";

export interface CheckedEdits {
  readonly headers: ReadonlyArray<readonly [name: string, value: string]>;
  /** Undefined: nothing to append. Lines end in LF. */
  readonly appendText: { readonly plain: string; readonly html: string } | undefined;
  /** Addresses as the administrator wrote them. */
  readonly addBcc: readonly string[];
}

/** @throws {Malformed} a wrong type anywhere, also in items that are not granted */
export function checkEdits(raw: RawObject, context: ItemContext): CheckedEdits {
  return {
    headers: checkHeaders(raw.headers, context),
    appendText: checkAppendText(raw.append_text, context),
    addBcc: checkBcc(raw.recipients, context),
  };
}

const HEADER_NAME = new RegExp(HEADER_NAME_PATTERN);

function checkHeaders(value: unknown, context: ItemContext): CheckedEdits["headers"] {
  if (value === undefined) return [];
  const { add = [] } = readObject(value, "headers");
  if (!Array.isArray(add) || !add.every(isPair))
    throw new Malformed("headers.add is not a list of [name, value]");
  if (add.length === 0 || !may("headers", context)) return [];
  if (add.length > MAX_ADDED_HEADERS) context.deny("headers.add", `more than ${MAX_ADDED_HEADERS}`);
  return add.slice(0, MAX_ADDED_HEADERS).filter(([name, text]) => {
    if (!HEADER_NAME.test(name) || /^x-mairust-/i.test(name))
      context.deny("headers.add", "not a field that plugins may add");
    else if (hasControls(text) || hasLoneSurrogate(text))
      context.deny("headers.add", "a value holds line breaks or controls");
    else if (utf8Length(text) > MAX_HEADER_VALUE_BYTES)
      context.deny("headers.add", `a value is longer than ${MAX_HEADER_VALUE_BYTES} bytes`);
    else return true;
    return false;
  });
}

function isPair(value: unknown): value is readonly [string, string] {
  return Array.isArray(value) && value.length === 2 && value.every(isText);
}

function checkAppendText(value: unknown, context: ItemContext): CheckedEdits["appendText"] {
  if (value === undefined) return undefined;
  const { plain = "", html = "" } = readObject(value, "append_text");
  if (!isText(plain) || !isText(html)) throw new Malformed("append_text is not made of texts");
  if ((plain === "" && html === "") || !may("append_text", context)) return undefined;
  for (const text of [plain, html]) {
    if (utf8Length(text) > MAX_APPEND_TEXT_BYTES) {
      context.deny("append_text", `longer than ${MAX_APPEND_TEXT_BYTES} bytes`);
      return undefined;
    }
    if (hasControls(text.replace(/[\t\n]/g, "")) || hasLoneSurrogate(text)) {
      context.deny("append_text", "it holds controls other than TAB and LF");
      return undefined;
    }
  }
  return { plain, html };
}

/** The grant alone lets no address out: the administrator names each of them. */
function checkBcc(value: unknown, context: ItemContext): readonly string[] {
  if (value === undefined) return [];
  const wanted = readStrings(readObject(value, "recipients").add_bcc, "recipients.add_bcc");
  if (wanted.length === 0 || !may("recipients", context)) return [];
  if (context.bccAllowed.size === 0) {
    context.deny("recipients", "no address is allowed by the administrator");
    return [];
  }
  if (wanted.length > MAX_ADDED_BCC) context.deny("recipients", `more than ${MAX_ADDED_BCC}`);
  const kept = new Set<string>();
  for (const address of wanted.slice(0, MAX_ADDED_BCC)) {
    const allowed = context.bccAllowed.get(address.toLowerCase());
    if (allowed === undefined) context.deny("recipients", "an address is not allowed by the administrator");
    else kept.add(allowed);
  }
  return [...kept];
}
