// Finds in a text what should not leave: My Numbers, card numbers, secrets, words. What it finds it hands to its caller and nobody else.
// Every pattern is linear: what repeats is bounded or begins where nothing of its kind stands before it.

/** Between two groups of digits: blanks, a dash, the end of a line with marks of a quotation behind it. */
const GAP = /^[ \t]{0,3}[-‐‒–—―−─ー]?[ \t]{0,3}(\r?\n[ \t>|]{0,6})?$/u;
const MAX_GAP = 14;
const MAX_DIGITS = 19;
/** A letter, or a number that goes on: then it is a part of something else. */
const BEFORE = /(?:[A-Za-z_+]|\d[-‐–.,])$/u;
const AFTER = /^(?:[A-Za-z_]|[.,]\d|[-‐–](?:\r?\n)?[ \t>]{0,3}\d)/u;

/** Runs of whole groups of digits, from 12 to 19 in all, over two lines at most. @param {string} text */
function* spansIn(text) {
  /** @type {{ digits: string, at: number, isLine: boolean }[]} */
  let groups = [];
  let end = 0;
  for (const { 0: digits, index: at } of text.matchAll(/\d+/gu)) {
    const gap = at - end <= MAX_GAP ? GAP.exec(text.slice(end, at)) : null;
    end = at + digits.length;
    const isLine = gap?.[1] !== undefined;
    // One or two digits are a count, unless the line ended there, or ends.
    const isCount = digits.length < 3 && !isLine && !/^[- \t]{0,2}[\r\n]/u.test(text.slice(end, end + 3));
    const isOther = isCount || digits.length > MAX_DIGITS;
    if (gap === null || isOther) groups = [];
    if (isOther) continue;
    groups.push({ digits, at, isLine });
    if (groups.length > MAX_DIGITS) groups.shift();
    let all = "";
    for (let first = groups.length - 1, lines = 0; first >= 0 && lines < 2; first--) {
      all = groups[first].digits + all;
      if (all.length > MAX_DIGITS) break;
      if (all.length >= 12) yield { digits: all, at: groups[first].at, end, groups, first };
      if (groups[first].isLine) lines++;
    }
  }
}

function isWhole(text, { at, end, groups, first }) {
  if (BEFORE.test(text.slice(Math.max(0, at - 2), at)) || AFTER.test(text.slice(end, end + 7))) return false;
  // Of groups of four, one more before or behind makes another number.
  const { digits, isLine } = groups[first];
  if (first === groups.length - 1 || digits.length > 4) return true;
  if (first > 0 && !isLine && (digits.length < 4 || groups[first - 1].digits.length === 4)) return false;
  return !/^[ \t]{1,2}\d{4}(?!\d)/u.test(text.slice(end, end + 7));
}

/** One run of digits, and a few more at the end of the line before or the start of the next. */
function hasRest(text, { digits, end, groups, first }) {
  const { isLine } = groups[first];
  if (groups[first].digits !== digits) return false;
  const isBehind = isLine && first > 0 && groups[first - 1].digits.length < 8;
  return isBehind || /^[ \t]{0,3}\r?\n[ \t>|]{0,6}\d{1,7}[ \t]*(?:\r?\n|$)/u.test(text.slice(end, end + 24));
}

/** The lengths of its groups, as it stands or without the end of the line, are what people write. */
function isUsual({ groups, first }, shape) {
  const all = groups.slice(first);
  const joined = [];
  for (const [i, { digits, isLine }] of all.entries())
    if (i > 0 && isLine) joined.push(joined.pop() + digits.length);
    else joined.push(digits.length);
  return [all.map(one => one.digits.length), joined].some(lengths => shape.test(lengths.join(" ")));
}

/** ISO/IEC 7812-1. @param {string} digits */
export function isLuhn(digits) {
  let sum = 0;
  for (let i = 0; i < digits.length; i++) {
    const value = Number(digits[digits.length - 1 - i]) * (1 + (i % 2));
    sum += value > 9 ? value - 9 : value;
  }
  return sum % 10 === 0;
}

/** Ordinance No. 85 of 2014 of the Ministry of Internal Affairs, article 5. @param {string} digits  twelve */
export function isMyNumber(digits) {
  let sum = 0;
  for (let n = 1; n <= 11; n++) sum += Number(digits[11 - n]) * (n <= 6 ? n + 1 : n - 5);
  const rest = sum % 11;
  return Number(digits[11]) === (rest <= 1 ? 0 : 11 - rest);
}

/** Who issues, and from how many digits on to how many. */
const ISSUERS = [
  [/^4/u, 13, 13],
  [/^4/u, 16, 16],
  [/^4/u, 19, 19],
  [/^(?:5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720)/u, 16, 16],
  [/^3[47]/u, 15, 15],
  [/^3(?:0[0-5]|095|[689])/u, 14, 19],
  [/^(?:35(?:2[89]|[3-8])|6011|64[4-9]|65|62)/u, 16, 19],
  [/^(?:5018|5020|5038|5893|6304|6759|676[123])/u, 13, 19],
];
const CARD_SHAPE = /^(?:1[3-9]|4 4 4 4(?: [23])?|4 6 [45])$/u;
const CARD_WORD = /card|credit|visa|master|amex|jcb|diners|カード|クレジット/iu;

function isCard(text, span) {
  const { digits, at } = span;
  const { length } = digits;
  if (!ISSUERS.some(([start, least, most]) => length >= least && length <= most && start.test(digits)))
    return false;
  if (!isLuhn(digits) || !isWhole(text, span)) return false;
  // Thirteen digits that begin with 4 are Japanese article numbers, odd groups may be anything.
  const isPlain = length > 13 && isUsual(span, CARD_SHAPE);
  const near = text.slice(Math.max(0, at - 40), at).trimEnd();
  return isPlain || CARD_WORD.test(near.slice(near.lastIndexOf("\n") + 1));
}

const MINE =
  "(?:マイナンバー|個人番号)(?:カード)?|特定個人情報|通知カード|(?<![a-z])(?:my ?number|individual number)";
export const MY_NUMBER_WORD = new RegExp(MINE, "iu");
const LABELS = new RegExp(
  `(?<mine>${MINE})|電話|携帯|ファッ?クス|注文|受注|発注|伝票|追跡|送り状|問い?合わ?せ|荷物|お客様|顧客|会員|請求書|口座|法人|契約|製造|シリアル|カード|クレジット|` +
    "(?<![a-z])(?:tel|fax|phone|telephone|mobile|orders?|tracking|invoice|customer|account|ticket|serial|isbn|parcel|card|visa)(?![a-z])",
  "giu",
);
const TIMESTAMP = /^(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:[0-2]\d|3[01])(?:[01]\d|2[0-3])[0-5]\d$/u;

/** A label close before decides what twelve digits are; without one, whether the message speaks of My Numbers. */
function isMine(text, span, speaksOfIt) {
  const { digits, at } = span;
  const near = text.slice(Math.max(0, at - 40), at);
  // The line of the digits before it, where the number seems to go on from there.
  const line = near.replace(/(\d)\s+$/u, "$1").lastIndexOf("\n") + 1;
  // Labels of other things count on the same line only: above it may stand the names of columns.
  const labels = [...near.matchAll(LABELS)].filter(one => one.groups.mine !== undefined || one.index >= line);
  const label = labels.at(-1);
  if (label !== undefined) return label.groups.mine !== undefined;
  return speaksOfIt && !TIMESTAMP.test(digits) && isUsual(span, /^(?:12|4 4 4)$/u) && !hasRest(text, span);
}

/** @param {string} text @param {boolean} speaksOfIt  the message has `MY_NUMBER_WORD` somewhere */
export function numbersIn(text, speaksOfIt) {
  const cards = [];
  const mine = [];
  const inCards = new Set();
  for (const span of spansIn(text)) {
    if (isCard(text, span)) {
      cards.push(span.digits);
      for (const { at } of span.groups.slice(span.first)) inCards.add(at);
    } else if (span.digits.length === 12 && isMyNumber(span.digits) && isWhole(text, span))
      if (isMine(text, span, speaksOfIt)) mine.push({ digits: span.digits, at: span.at });
  }
  return { card: cards, my_number: mine.filter(({ at }) => !inCards.has(at)).map(({ digits }) => digits) };
}

const TOKENS = [
  "(?:AKIA|ASIA)[0-9A-Z]{16}",
  "gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{22,255}|glpat-[A-Za-z0-9_-]{20,64}",
  "xox[abeoprs]-[A-Za-z0-9-]{10,250}|AIza[0-9A-Za-z_-]{35}|[rs]k_live_[0-9A-Za-z]{16,250}",
  "sk-[A-Za-z0-9_-]{32,250}|npm_[A-Za-z0-9]{36}|SG\\.[\\w-]{22}\\.[\\w-]{43}",
  "eyJ[\\w-]{10,2000}\\.eyJ[\\w-]{10,4000}\\.[\\w-]{10,1000}",
];
const TOKEN = new RegExp(`(?<![\\w-])(?:${TOKENS.join("|")})(?![\\w-])`, "gu");
const KEY = /-----BEGIN (?:[A-Z0-9]{2,12} ){0,2}PRIVATE KEY(?: BLOCK)?-----/gu;
const PASSWORD =
  /(?:(?<![a-z])(?:password|passphrase|passwd|passcode|pwd|pw)|パスワード|暗証番号)[ \t]{0,3}(?::|=|は|is(?= ))[ \t]{0,3}(?:\r?\n[ \t>]{0,4})?(?<value>[!-~]{6,64})(?![!-~])/giu;

/** @param {string} text */
export function* secretsIn(text) {
  for (const shape of [TOKEN, KEY]) for (const [found] of text.matchAll(shape)) yield found;
  for (const { groups } of text.matchAll(PASSWORD)) {
    const value = groups?.value?.replace(/[.,;)\]>]+$/u, "") ?? "";
    const kinds = [/[a-z]/u, /[A-Z]/u, /\d/u, /[^A-Za-z0-9]/u].filter(kind => kind.test(value)).length;
    // "password: optional", "password: ******", a link to where it is set
    if (value.length >= 6 && kinds >= 2 && !/^(?:https?:|[<[{(*_$%-])|(.)\1{3}/u.test(value)) yield value;
  }
}

/** Words of Latin letters stand alone; others are looked for everywhere, also over the end of a line. @param {string[]} words */
export function* wordsIn(text, words) {
  if (words.length === 0) return;
  const lower = text.toLowerCase();
  const spaced = lower.replace(/\s+/gu, " ");
  const dense = lower.replace(/[\s>|]+/gu, "");
  for (const word of words) {
    if (!/^[\p{Script=Latin}\p{N}\p{P}\p{S} ]+$/u.test(word)) {
      if (dense.includes(word.replace(/\s/gu, ""))) yield word;
      continue;
    }
    const isPart = at => /^[\p{Script=Latin}\p{N}_]$/u.test(spaced[at] ?? " ");
    for (let at = spaced.indexOf(word); at >= 0; at = spaced.indexOf(word, at + word.length))
      if (!isPart(at - 1) && !isPart(at + word.length)) {
        yield word;
        break;
      }
  }
}
