/**
 * Letters and digits of the same kind as others, for text that must keep its shape and its charset: whatever is chosen stands in every
 * charset that the kind is written in (JIS X 0208, GB 2312, KS X 1001, KOI8-R, ISO 8859 …). Pure.
 */

type Kind = readonly [is: RegExp, letters: readonly string[]];

const range = (from: string, to: string): readonly string[] => {
  const first = from.codePointAt(0) ?? 0;
  const length = (to.codePointAt(0) ?? 0) - first + 1;
  return Array.from({ length }, (_, i) => String.fromCodePoint(first + i));
};

/** Kinds of letters; the first that fits counts. */
const KINDS: readonly Kind[] = [
  [/^[a-z]$/u, range("a", "z")],
  [/^[A-Z]$/u, range("A", "Z")],
  [/^[0-9]$/u, range("0", "9")],
  [/^[ａ-ｚ]$/u, range("ａ", "ｚ")],
  [/^[Ａ-Ｚ]$/u, range("Ａ", "Ｚ")],
  [/^[０-９]$/u, range("０", "９")],
  [
    /^[\u3041-\u3096]$/u,
    [..."あいうえおかきくけこさしすせそたちつてとなにぬねのはひふへほまみむめもやゆよらりるれろわをん"],
  ],
  [
    /^[\u30a1-\u30fa]$/u,
    [..."アイウエオカキクケコサシスセソタチツテトナニヌネノハヒフヘホマミムメモヤユヨラリルレロワヲン"],
  ],
  [/^[\uff66-\uff9d]$/u, range("ｱ", "ﾝ")],
  // In Japanese, simplified and traditional Chinese and Korean charsets alike.
  [
    /^\p{Script=Han}$/u,
    [
      ..."日月山水火木金土人大小中上下田力口目手足心文王玉石竹米羊耳豆里雨青音食高白百千天女子川左右生先名早正年立村林森花草赤",
    ],
  ],
  [/^[\uac00-\ud7a3]$/u, [..."가나다라마바사아자차카타파하고노도로모보소오조초코토포호구누두루무부수우주추"]],
  [/^[а-я]$/u, range("а", "я")],
  [/^[А-Я]$/u, range("А", "Я")],
  [/^[α-ω]$/u, [..."αβγδεζηθικλμνξοπρστυφχψω"]],
  [/^[Α-Ω]$/u, [..."ΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩ"]],
  [/^[\u05d0-\u05ea]$/u, range("\u05d0", "\u05ea")],
  [/^[\u0621-\u063a\u0641-\u064a]$/u, range("\u0641", "\u064a")],
  [/^[\u0e01-\u0e2e]$/u, range("\u0e01", "\u0e2e")],
];

/** Letters of kinds that are not listed: other letters near them. */
const BLOCK = 16;

/** @returns letters of the same kind, at least one; undefined: the character is no letter that is replaced (an accented Latin one) */
export function lettersLike(character: string): readonly string[] | undefined {
  const known = KINDS.find(([is]) => is.test(character))?.[1];
  if (known !== undefined) return known;
  if (/\p{Script=Latin}|\p{M}|\p{Lm}/u.test(character)) return undefined;
  const code = character.codePointAt(0) ?? 0;
  const start = code - (code % BLOCK);
  const upper = /\p{Lu}/u.test(character);
  const near = Array.from({ length: BLOCK }, (_, i) => String.fromCodePoint(start + i));
  return near.filter(one => /[\p{L}\p{Nd}]/u.test(one) && /\p{Lu}/u.test(one) === upper);
}

/** Runs that are one word: letters of one script with their marks, or digits. */
export const WORD =
  /[\p{Script=Latin}\p{M}]+|[\p{Script=Hiragana}]+|[\p{Script=Katakana}]+|\p{Script=Han}+|\p{Script=Hangul}+|\p{Nd}+|(?:(?![\p{Script=Latin}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Han}\p{Script=Hangul}])[\p{L}\p{M}])+/gu;
