/** Whether an answer is the one that a dialog expects: order, quoting and case are compared only where they mean something. */

type Kept = Map<string, string>;

const LITERAL = /~?\{(\d+)\}\r\n/gu;
/** Items whose words may be in any case (RFC 2045 §5.1, RFC 3501 §2.3.2). */
const ANY_CASE = /^(?:BODY|BODYSTRUCTURE|FLAGS)$/u;
const MORE = "…";

/** @param kept  words that `{x}` stands for; grows when the answer is the expected one */
export function sameAnswer(expected: string, answer: string, kept: Kept): boolean {
  const trial = new Map(kept);
  const same = sameParts(partsOf(expected), partsOf(withoutLiterals(answer)), trial);
  if (same) for (const [name, value] of trial) kept.set(name, value);
  return same;
}

/** An answer as what stands in a fixed place, and what may come in any order. */
interface Parts {
  readonly fixed: string;
  readonly free: readonly string[];
}

function sameParts(expected: Parts, got: Parts, kept: Kept): boolean {
  if (!sameText(expected.fixed, got.fixed, kept)) return false;
  const left = [...got.free];
  for (const one of expected.free.filter(each => each !== MORE)) {
    const at = left.findIndex(each => sameItem(one, each, kept));
    if (at < 0) return false;
    left.splice(at, 1);
  }
  return left.length === 0 || expected.free.includes(MORE);
}

function partsOf(line: string): Parts {
  const fetch = /^\* (\d+) FETCH \((.*)\)$/su.exec(line);
  if (fetch !== null) return { fixed: `FETCH ${fetch[1]}`, free: pairs(words(fetch[2] ?? "")) };
  const status = /^\* STATUS (.+) \(([^()]*(?:\([^()]*\)[^()]*)*)\)$/u.exec(line);
  if (status !== null) return { fixed: `STATUS ${unquoted(status[1])}`, free: pairs(words(status[2] ?? "")) };
  const list = /^\* (LIST|LSUB) \(([^)]*)\) (\S+) (.+)$/u.exec(line);
  if (list !== null) {
    const attributes = words(list[2] ?? "").map(word => word.toLowerCase());
    return { fixed: `${list[1]} ${list[3]} ${unquoted(list[4])}`, free: attributes.filter(isTelling) };
  }
  const esearch = /^\* ESEARCH(?: \((TAG [^)]*)\))?(?: (UID))?(?: (.*))?$/u.exec(line);
  if (esearch !== null)
    return { fixed: `ESEARCH ${esearch[1] ?? ""} ${esearch[2] ?? ""}`, free: pairs(words(esearch[3] ?? "")) };
  return { fixed: line, free: [] };
}

/** Attributes of Dovecot's files. */
const isTelling = (attribute: string) => !["\\marked", "\\unmarked", "\\noinferiors"].includes(attribute);

const unquoted = (text = "") => text.replace(/^"(.*)"$/u, "$1").replace(/^inbox$/iu, "INBOX");

/** Strings, lists and atoms at the top of a list. */
function words(text: string): readonly string[] {
  const found: string[] = [];
  let depth = 0;
  let isQuoted = false;
  let word = "";
  for (let i = 0; i < text.length; i++) {
    const char = text[i] ?? "";
    word += char;
    if (isQuoted && char === "\\") {
      i += 1;
      word += text[i] ?? "";
    } else if (char === '"') isQuoted = !isQuoted;
    else if (!isQuoted && /[([]/u.test(char)) depth += 1;
    else if (!isQuoted && /[)\]]/u.test(char)) depth -= 1;
    else if (!isQuoted && depth === 0 && char === " ") {
      found.push(word.slice(0, -1));
      word = "";
    }
  }
  if (word !== "") found.push(word);
  return found;
}

/** Name, tab, value each; `…` stands alone. */
function pairs(list: readonly string[]): readonly string[] {
  const found: string[] = [];
  for (let i = 0; i < list.length; ) {
    const name = list[i] ?? "";
    if (name === MORE) found.push(MORE);
    else found.push(`${name}\t${list[i + 1] ?? ""}`);
    i += name === MORE ? 1 : 2;
  }
  return found;
}

function sameItem(expected: string, got: string, kept: Kept): boolean {
  const [name = "", want = ""] = expected.split("\t");
  const [other = "", have = ""] = got.split("\t");
  if (name.toUpperCase() !== other.toUpperCase()) return false;
  if (name === "FLAGS" && !want.includes("*")) return flagsOf(want) === flagsOf(have);
  return ANY_CASE.test(name)
    ? sameText(want.toLowerCase(), have.toLowerCase(), kept)
    : sameText(want, have, kept);
}

/** No message is ever \Recent to us. */
function flagsOf(list: string): string {
  const flags = list.slice(1, -1).toLowerCase().split(" ");
  return flags
    .filter(flag => flag !== "" && flag !== "\\recent")
    .sort()
    .join(" ");
}

/** `*` is anything, `{x}` a word: kept when it is new, the kept one otherwise. */
function sameText(expected: string, got: string, kept: Kept): boolean {
  const named: string[] = [];
  const marker = expected.startsWith("* ") ? "\\* " : "";
  const source = expected.slice(marker === "" ? 0 : 2).split(/(\*|\{[a-z]\w*\})/u);
  const pattern = source.map(part => {
    if (part === "*") return "[^]*";
    const name = /^\{(\w+)\}$/u.exec(part)?.[1];
    if (name === undefined) return part.replace(/[\\^$.|?+()[\]{}]/gu, "\\$&");
    const value = kept.get(name);
    if (value !== undefined) return value.replace(/[\\^$.|?+()[\]{}*]/gu, "\\$&");
    named.push(name);
    return "([^\\s()\\]]+)";
  });
  const match = new RegExp(`^${marker}${pattern.join("")}$`, "u").exec(got);
  for (const [i, name] of named.entries()) if (match !== null) kept.set(name, match[i + 1] ?? "");
  return match !== null;
}

/** Literals as quoted strings, with their line breaks as `\r\n`. */
function withoutLiterals(answer: string): string {
  let text = "";
  let at = 0;
  LITERAL.lastIndex = 0;
  for (let match = LITERAL.exec(answer); match !== null; match = LITERAL.exec(answer)) {
    const from = match.index + match[0].length;
    const end = from + Number(match[1]);
    const octets = answer
      .slice(from, end)
      .replace(/["\\]/gu, "\\$&")
      .replaceAll("\r", "\\r")
      .replaceAll("\n", "\\n");
    text += `${answer.slice(at, match.index)}"${octets}"`;
    at = end;
    LITERAL.lastIndex = end;
  }
  return text + answer.slice(at);
}
