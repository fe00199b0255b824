/**
 * Text of an HTML part, for previews where there is no plain one: tags go, block elements break lines, what is not shown
 * (scripts, styles, comments, the head) is left out. One pass, linear, no parser: the result is read by plugins, never shown.
 */

/** Elements whose content is not text. */
const HIDDEN: ReadonlySet<string> = new Set([
  "script",
  "style",
  "head",
  "title",
  "template",
  "noscript",
  "svg",
  "math",
]);
const BREAKING: ReadonlySet<string> = new Set(
  "address article blockquote br div dd dl dt fieldset footer form h1 h2 h3 h4 h5 h6 header hr li main nav ol p pre section table tr ul".split(
    " ",
  ),
);
const ENTITIES: ReadonlyMap<string, string> = new Map([
  ["amp", "&"],
  ["lt", "<"],
  ["gt", ">"],
  ["quot", '"'],
  ["apos", "'"],
  ["nbsp", " "],
  ["copy", "©"],
  ["reg", "®"],
  ["trade", "™"],
  ["hellip", "…"],
  ["ndash", "–"],
  ["mdash", "—"],
  ["lsquo", "‘"],
  ["rsquo", "’"],
  ["ldquo", "“"],
  ["rdquo", "”"],
  ["euro", "€"],
  ["yen", "¥"],
]);

/** @returns the text: LF line ends, no blank lines, runs of white space joined */
export function textOfHtml(html: string): string {
  let text = "";
  let at = 0;
  while (at < html.length) {
    const open = html.indexOf("<", at);
    if (open === -1) break;
    text += html.slice(at, open);
    const tag = readTag(html, open);
    if (tag === undefined) {
      text += "<";
      at = open + 1;
    } else {
      text += BREAKING.has(tag.name) ? "\u0000" : "";
      at = tag.hidden ? skipElement(html, tag) : tag.end;
    }
  }
  return tidy(decodeEntities(text + html.slice(at)));
}

interface Tag {
  readonly name: string;
  readonly hidden: boolean;
  /** First character after it. */
  readonly end: number;
}

/** @returns the tag or comment that begins at `open`, or undefined when the `<` is only a character */
function readTag(html: string, open: number): Tag | undefined {
  if (html.startsWith("<!--", open)) return { name: "", hidden: false, end: after(html, "-->", open + 4) };
  const name = /^<[/!?]?([A-Za-z][A-Za-z0-9]{0,31})?/.exec(html.slice(open, open + 40));
  if (name === null || (name[1] === undefined && !/^<[/!?]/.test(name[0]))) return undefined;
  const lower = (name[1] ?? "").toLowerCase();
  const end = after(html, ">", open);
  const closed = html[open + 1] === "/" || html[end - 2] === "/";
  return { name: lower, hidden: HIDDEN.has(lower) && !closed, end };
}

function skipElement(html: string, tag: Tag): number {
  // The bracket is looked for apart: one pattern for both would be quadratic when it never comes.
  const close = new RegExp(`</${tag.name}`, "gi");
  close.lastIndex = tag.end;
  const found = close.exec(html);
  return found === null ? html.length : after(html, ">", found.index);
}

function after(html: string, mark: string, from: number): number {
  const found = html.indexOf(mark, from);
  return found === -1 ? html.length : found + mark.length;
}

function decodeEntities(text: string): string {
  return text.replace(
    /&(?:#(\d{1,7})|#[xX]([0-9A-Fa-f]{1,6})|([A-Za-z]{2,8}));/g,
    (whole, decimal, hex, name) => {
      if (typeof name === "string") return ENTITIES.get(name.toLowerCase()) ?? whole;
      const code = typeof hex === "string" ? Number.parseInt(hex, 16) : Number(decimal);
      const isScalar = code > 0 && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
      return isScalar ? String.fromCodePoint(code) : "\ufffd";
    },
  );
}

/** NUL stands for a line break until here: the line breaks of the source are only white space. */
function tidy(text: string): string {
  return text
    .split("\u0000")
    .map(line => line.replace(/\s+/gu, " ").trim())
    .filter(line => line !== "")
    .join("\n");
}
