/**
 * Outbound mail with planted numbers, the same for the same seed: English and Japanese, several charsets and transfer encodings, HTML,
 * attachments, fullwidth digits, groups, numbers over two lines. Beside them what must not be taken for one: numbers whose check digit is
 * wrong, phone numbers, order numbers, article numbers, times.
 */
import { encodeText } from "../../src/core/mime/encode-charset.ts";
import { encodeBase64, encodeQuotedPrintable } from "../../src/core/mime/transfer-encode.ts";
import { SeededRandom } from "./random.ts";

export interface PlantedMail {
  readonly name: string;
  readonly source: Buffer;
  /** How many different ones. */
  readonly myNumbers: number;
  readonly cards: number;
  /** As digits: nothing of them may be told. */
  readonly planted: readonly string[];
}

/** Ordinance No. 85 of 2014, article 5, by its formula. */
export function myNumber(random: SeededRandom): string {
  const digits = Array.from({ length: 11 }, () => random.whole(0, 9));
  const sum = digits.reduce((all, digit, i) => {
    const n = 11 - i;
    return all + digit * (n <= 6 ? n + 1 : n - 5);
  }, 0);
  return `${digits.join("")}${sum % 11 <= 1 ? 0 : 11 - (sum % 11)}`;
}

const CARDS = [
  "4",
  "51",
  "55",
  "2221",
  "2720",
  "34",
  "37",
  "3528",
  "3589",
  "36",
  "6011",
  "65",
  "62",
] as const;

export function cardNumber(random: SeededRandom): string {
  const start = random.pick(CARDS);
  const length = /^3[47]/u.test(start) ? 15 : start === "36" ? 14 : 16;
  let digits = start;
  while (digits.length < length - 1) digits += random.whole(0, 9);
  const sum = [...digits].reverse().reduce((all, digit, i) => {
    const value = Number(digit) * (i % 2 === 0 ? 2 : 1);
    return all + (value > 9 ? value - 9 : value);
  }, 0);
  return `${digits}${(10 - (sum % 10)) % 10}`;
}

/** Its last digit is another one. */
const broken = (digits: string, random: SeededRandom) =>
  `${digits.slice(0, -1)}${(Number(digits.at(-1)) + random.whole(1, 9)) % 10}`;

function written(digits: string, random: SeededRandom): string {
  const groups =
    digits.length === 15
      ? [digits.slice(0, 4), digits.slice(4, 10), digits.slice(10)]
      : digits.length === 14
        ? [digits.slice(0, 4), digits.slice(4, 10), digits.slice(10)]
        : (digits.match(/\d{4}/gu) ?? []);
  const wide = (text: string) =>
    text.replace(/[\d-]/gu, one => String.fromCharCode(one.charCodeAt(0) + 0xfee0)).replaceAll(" ", "\u3000");
  const cut = random.whole(3, digits.length - 3);
  return random.pick([
    () => digits,
    () => groups.join(" "),
    () => groups.join("-"),
    () => wide(digits),
    () => wide(groups.join("-")),
    () => wide(groups.join(" ")),
    () => `${digits.slice(0, cut)}\n${digits.slice(cut)}`,
    () => `${groups[0]} ${groups[1]}\n${groups.slice(2).join(" ")}`,
    () => `${groups.slice(0, -1).join("-")}-\n${groups.at(-1)}`,
  ])();
}

const TEXT = {
  en: {
    filler: [
      "Please find the details below.",
      "See you on Monday.",
      "Kind regards",
      "The total is 12,345.67 dollars.",
    ],
    mine: ["My Number: ", "Individual Number ", "my number is "],
    card: ["Card number: ", "Please charge ", "Visa/Mastercard ", ""],
    other: [
      "Phone +81 3-1234-5678",
      "Order 2026-0012-3456",
      "Call 03-1234-5678 or 090-1234-5678",
      "JAN 4901234567894",
    ],
    order: "Order number ",
    subject: "Your request",
  },
  ja: {
    filler: [
      "お世話になっております。",
      "よろしくお願いいたします。",
      "合計は12,345円です。",
      "詳細は下記のとおりです。",
    ],
    mine: ["マイナンバー：", "個人番号は", "マイナンバー "],
    card: ["カード番号：", "クレジットカード ", "次の番号で決済してください。"],
    other: [
      "電話 03-1234-5678",
      "携帯：090-1234-5678",
      "注文番号 2026-0012-3456",
      "JANコード 4901234567894",
      "日時 202611211730",
    ],
    order: "注文番号：",
    subject: "ご依頼の件",
  },
} as const;

/** @param count  messages; two in five hold something */
export function plantedMail(count: number, seed: number): readonly PlantedMail[] {
  const random = new SeededRandom(seed);
  return Array.from({ length: count }, (_, i) => oneMail(`${seed}-${i}`, random));
}

function oneMail(name: string, random: SeededRandom): PlantedMail {
  const language = random.pick(["en", "ja"] as const);
  const words = TEXT[language];
  const mine = random.chance(0.25) ? Array.from({ length: random.whole(1, 3) }, () => myNumber(random)) : [];
  const cards = random.chance(0.25)
    ? Array.from({ length: random.whole(1, 3) }, () => cardNumber(random))
    : [];
  const lines = [
    ...Array.from({ length: random.whole(1, 6) }, () => random.pick(words.filler)),
    ...Array.from({ length: random.whole(0, 3) }, () => random.pick(words.other)),
    ...mine.map(digits => `${random.pick(words.mine)}${written(digits, random)}`),
    ...cards.map(digits => `${random.pick(words.card)}${written(digits, random)}`),
  ];
  if (random.chance(0.4))
    lines.push(`${random.pick(words.mine)}${written(broken(myNumber(random), random), random)}`);
  if (random.chance(0.4))
    lines.push(`${random.pick(words.card)}${written(broken(cardNumber(random), random), random)}`);
  // A right check digit, and a label that says what it is.
  if (random.chance(0.2)) lines.push(`${words.order}${myNumber(random)}`);
  const text = random.shuffled(lines).join("\n\n");
  const source = Buffer.from(mailOf(language, text, random));
  return {
    name,
    source,
    myNumbers: new Set(mine).size,
    cards: new Set(cards).size,
    planted: [...mine, ...cards],
  };
}

function mailOf(language: "en" | "ja", text: string, random: SeededRandom): Uint8Array {
  const { subject } = TEXT[language];
  const top = [
    "From: taro@example.com",
    "To: hanako@example.org",
    `Subject: =?utf-8?B?${Buffer.from(subject).toString("base64")}?=`,
    "MIME-Version: 1.0",
    "",
  ].join("\r\n");
  const plain = (content: string) => partOf("text/plain", content, language, random);
  const html = () => partOf("text/html", htmlOf(text, random), language, random);
  const short = random.pick(TEXT[language].filler);
  const parts = random.pick([
    () => [plain(text)],
    () => [plain(text)],
    () => [html()],
    () => [plain(text), html()],
    () => [plain(short), partOf("text/csv; name=list.csv", text, language, random, "list.csv")],
    () => [plain(short), partOf("text/plain; name=notes.txt", text, language, random, "notes.txt")],
  ])();
  const [first] = parts;
  if (parts.length === 1 && first !== undefined) return Buffer.concat([Buffer.from(top), first]);
  const bounded = parts.flatMap(part => [Buffer.from("--b\r\n"), part, Buffer.from("\r\n")]);
  const type = `Content-Type: multipart/mixed; boundary=b\r\n\r\n`;
  return Buffer.concat([Buffer.from(`${top}${type}`), ...bounded, Buffer.from("--b--\r\n")]);
}

function htmlOf(text: string, random: SeededRandom): string {
  const lines = text.split("\n").map(line => {
    if (line === "") return "</p>\n<p>";
    const bold = random.chance(0.3) ? line.replace(/\d{3}/u, "<b>$&</b>") : line;
    return random.chance(0.3) ? bold.replaceAll(" ", "&nbsp;") : bold;
  });
  return `<html><head><style>p { color: #123456 }</style></head><body><p>${lines.join("<br>\n")}</p></body></html>`;
}

function partOf(
  type: string,
  content: string,
  language: "en" | "ja",
  random: SeededRandom,
  filename?: string,
): Buffer {
  const wide = /[^\x00-\x7f]/u.test(content);
  const charset = language === "ja" ? random.pick(["utf-8", "iso-2022-jp", "shift_jis"]) : "utf-8";
  const octets = encodeText(content.replaceAll("\n", "\r\n"), charset);
  if (octets === undefined) throw new Error(`${charset} cannot hold the text`);
  const encodings =
    charset === "iso-2022-jp" || !wide
      ? ["7bit", "quoted-printable", "base64"]
      : ["8bit", "quoted-printable", "base64"];
  const encoding = random.pick(encodings);
  const body =
    encoding === "base64"
      ? encodeBase64(octets)
      : encoding === "quoted-printable"
        ? encodeQuotedPrintable(octets)
        : octets;
  const header = [
    `Content-Type: ${type}; charset=${charset}`,
    `Content-Transfer-Encoding: ${encoding}`,
    ...(filename === undefined ? [] : [`Content-Disposition: attachment; filename=${filename}`]),
    "",
    "",
  ].join("\r\n");
  return Buffer.concat([Buffer.from(header), body]);
}
