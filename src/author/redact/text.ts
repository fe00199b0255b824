/** Plain text and HTML without what they said: addresses, hosts, names, words and numbers replaced, the rest as it was. */
import type { Substitutes } from "./substitutes.ts";

/** How much goes. */
export type Rule = "all" | "addresses";

const ADDRESS = /[\p{L}\p{N}.!#$%&'*+/=?^_`{|}~-]+@[\p{L}\p{N}](?:[\p{L}\p{N}.-]*[\p{L}\p{N}])?/u;
/** User and password may stand before the host. */
const URL_HOST = /\b(?:https?|ftp):\/\/(?:[^\s/<>"'?#@]*@)?[^\s/<>"'?#:]+/u;
const CID = /\bcid:[^\s"'<>]+/u;
const IPV4 = /\b\d{1,3}(?:\.\d{1,3}){3}\b/u;
const SPECIAL = new RegExp([CID, URL_HOST, ADDRESS, IPV4].map(({ source }) => `(${source})`).join("|"), "gu");

export function redactText(text: string, to: Substitutes, rule: Rule): string {
  const parts: string[] = [];
  let done = 0;
  const plain = (piece: string) => (rule === "all" ? to.words(piece) : piece);
  for (const match of text.matchAll(SPECIAL)) {
    parts.push(plain(text.slice(done, match.index)));
    const [found, cid, url, address] = match;
    if (cid !== undefined) parts.push(`cid:${to.messageId(cid.slice("cid:".length))}`);
    else if (url !== undefined) parts.push(hostOf(url, to, rule));
    else if (address !== undefined) parts.push(to.address(address));
    else parts.push(rule === "all" ? to.ip(found) : found);
    done = match.index + found.length;
  }
  parts.push(plain(text.slice(done)));
  return parts.join("");
}

function hostOf(url: string, to: Substitutes, rule: Rule): string {
  if (rule === "addresses") return url;
  const [scheme = "", rest = ""] = url.split("://");
  return `${scheme}://${to.host(rest.slice(rest.lastIndexOf("@") + 1))}`;
}

const HTML_TOKEN = /<!--[\s\S]*?(?:-->|$)|<[^<>]*>|&#?\w{1,32};|[^<&]+|[<&]/gu;
/** HTML's own words: a tag of another name is text of a mail that does not know better, `<jane@example.org>`. */
const TAGS = new Set(
  "a abbr address area article aside b base basefont big blockquote body br button caption center cite code col colgroup dd del details dfn dir div dl dt em embed fieldset figcaption figure font footer form frame frameset h1 h2 h3 h4 h5 h6 head header hr html i iframe img input ins kbd label legend li link main map mark menu meta nav noframes noscript object ol optgroup option p param picture pre q s samp script section select small source span strike strong style sub summary sup svg table tbody td textarea tfoot th thead time title tr tt u ul var video wbr o:p !doctype".split(
    " ",
  ),
);
const ATTRIBUTES = new Set(
  "abbr accept align alink alt aria-hidden aria-label background bgcolor border bordercolor cellpadding cellspacing char charset class clear color cols colspan compact content coords data-id datetime dir disabled face for frame frameborder headers height href hreflang hspace http-equiv id label lang link loading longdesc marginheight marginwidth media method name nohref noshade nowrap rel rev role rows rowspan rules scope scrolling shape size sizes span src srcset start style summary tabindex target text title type usemap valign value vlink vspace width xmlns xml:lang html public".split(
    " ",
  ),
);
/** Values of these say how it looks, and nothing of what was written. */
const KEPT_VALUES = new Set(
  "align bgcolor border cellpadding cellspacing charset color cols colspan dir height http-equiv lang method nowrap rel rows rowspan scope size target type valign width".split(
    " ",
  ),
);
const ATTRIBUTE = /([^\s=/>"']+)(\s*=\s*)?("[^"]*"|'[^']*'|[^\s"'>]*)?/gu;

export function redactHtml(html: string, to: Substitutes, rule: Rule): string {
  if (rule === "addresses") return redactText(html, to, rule);
  return html.replace(HTML_TOKEN, token => {
    if (token.startsWith("<!--")) return redactText(token, to, rule);
    if (token.startsWith("<") && token.endsWith(">") && token.length > 1) return redactTag(token, to);
    return /^&/u.test(token) && token.length > 1 ? redactEntity(token, to) : redactText(token, to, rule);
  });
}

function redactTag(tag: string, to: Substitutes): string {
  const [, open = "", name = "", rest = "", close = ""] =
    /^(<\/?)([^\s/>]*)([\s\S]*?)(\/?>)$/u.exec(tag) ?? [];
  if (!TAGS.has(name.toLowerCase())) return redactText(tag, to, "all");
  const attributes = rest.replace(ATTRIBUTE, (_, key: string, equals = "", value = "") => {
    const lower = key.toLowerCase();
    const shownKey = ATTRIBUTES.has(lower) ? key : redactText(key, to, "all");
    return `${shownKey}${equals}${KEPT_VALUES.has(lower) && equals !== "" ? keptValue(value, to) : redactValue(value, to)}`;
  });
  return `${open}${name}${attributes}${close}`;
}

/** Only what such a value can be. */
function keptValue(value: string, to: Substitutes): string {
  return /^["']?[#%\w;/ .-]{0,40}["']?$/u.test(value) ? value : redactValue(value, to);
}

/** Entities stand in values too: `href="mailto:jane&#64;example.org"`. */
function redactValue(value: string, to: Substitutes): string {
  return value.replace(/&#?\w{1,32};|[^&]+|&/gu, piece =>
    piece.startsWith("&") && piece.length > 1 ? redactEntity(piece, to) : redactText(piece, to, "all"),
  );
}

/** `&nbsp;` stays; `&#26085;` is a letter as any other. */
function redactEntity(entity: string, to: Substitutes): string {
  const [, hex, decimal] = /^&#(?:[xX]([0-9a-fA-F]{1,6})|([0-9]{1,7}));$/u.exec(entity) ?? [];
  if (hex === undefined && decimal === undefined) return NAMED.has(entity) ? entity : "&amp;";
  const code = hex === undefined ? Number(decimal) : Number.parseInt(hex, 16);
  if (code > 0x10ffff || code === 0) return "&amp;";
  return `&#${to.words(String.fromCodePoint(code)).codePointAt(0) ?? code};`;
}

const NAMED: ReadonlySet<string> = new Set(
  "nbsp amp lt gt quot apos copy reg trade bull middot hellip ndash mdash lsquo rsquo ldquo rdquo laquo raquo euro zwnj zwj ensp emsp times yen"
    .split(" ")
    .map(name => `&${name};`),
);
