/**
 * Mail that is hard to search, and what to look for in it: charsets, transfer encodings, messages inside, NUL, lines without an end,
 * marks that compose across every cut, headers in all states of decay. The same for the same random numbers.
 */
import type { SeededRandom } from "./random.ts";

/** Phrases that stand in the mail; needles are cut out of them, or are nowhere. */
const PHRASES = [
  "The quarterly figures are attached",
  "会議のお知らせ：第3回 本社ビル",
  "ﾊﾟｰﾃｨｰは３月１５日",
  "Straße Ünïcode cafe\u0301",
  "ΟΔΟΣ ΣΊΣΥΦΟΣ Ὀδυσσεύς",
  "ann@example.test, bob+tag@mail.example.test",
  'x=1&y=<b>2</b>; 100% \\ "quoted"',
  "İstanbul ﬁnance Ⅷ ½",
  "한국어 메일 검색",
  "क्षत्रिय 🙂🙃 𝐀𝐁",
  "a b c d e f",
  "tab\there  two  spaces",
] as const;
const NOWHERE = ["xylophone", "議会", "zq", "第4回", "q\u0301q"];
/** "会議の" and more in charsets that mail from Japan and Europe has. */
const RAW: ReadonlyArray<readonly [charset: string, octets: Buffer]> = [
  ["iso-2022-jp", Buffer.from("\x1b$B2q5D$N$*CN$i$;\x1b(B", "latin1")],
  ["shift_jis", Buffer.from([0x89, 0xef, 0x8b, 0x63, 0x82, 0xcc])],
  ["euc-jp", Buffer.from([0xb2, 0xf1, 0xb5, 0xc4, 0xa4, 0xce])],
  ["iso-8859-1", Buffer.from("Stra\xdfe \xdcn\xefcode", "latin1")],
  ["", Buffer.from("Stra\xdfe \xdcn\xefcode", "latin1")],
  ["no-such-charset", Buffer.from("会議の")],
];

export function oddMail(random: SeededRandom): Buffer {
  const body = entity(random, 3);
  const front = random.chance(0.05) ? " goes on from what was put in front\r\n" : "";
  const subject = random.chance(0.5) ? random.pick(PHRASES) : encoded(random, random.pick(PHRASES));
  const fields = [
    `From: ${encoded(random, random.pick(PHRASES))} <ann@example.test>`,
    `Subject: ${random.chance(0.3) ? subject.replaceAll(" ", "\r\n ") : subject}`,
    ...(random.chance(0.2) ? [`X-${random.pick(["Odd", "Empty"])}:`, "no colon in this line"] : []),
    ...(random.chance(0.1) ? [`To: ${"someone@example.test, ".repeat(random.whole(1, 40))}`] : []),
  ];
  return Buffer.concat([Buffer.from(`${front}${fields.join("\r\n")}\r\n`), body]);
}

/** What somebody might look for: a piece of something that is there, in another case, or nothing. */
export function needle(random: SeededRandom): string {
  if (random.chance(0.15)) return random.pick(NOWHERE);
  const phrase = [...random.pick(PHRASES)];
  const from = random.whole(0, phrase.length - 1);
  const text = phrase.slice(from, from + random.whole(1, 8)).join("");
  return random.chance(0.5) ? text.toUpperCase() : text;
}

/** Header fields of a part, the empty line, and its content. */
function entity(random: SeededRandom, depth: number): Buffer {
  const kind = depth === 0 ? 0 : random.whole(0, 6);
  if (kind === 5) {
    const inner = Buffer.concat([
      Buffer.from(`Subject: ${encoded(random, random.pick(PHRASES))}\r\n`),
      entity(random, depth - 1),
    ]);
    return Buffer.concat([Buffer.from("Content-Type: message/rfc822\r\n\r\n"), inner]);
  }
  if (kind === 6) {
    const boundary = `b${depth}-${random.whole(0, 9)}`;
    const parts = Array.from({ length: random.whole(1, 3) }, () => [
      Buffer.from(`--${boundary}\r\n`),
      entity(random, depth - 1),
      Buffer.from("\r\n"),
    ]).flat();
    const head = Buffer.from(`Content-Type: multipart/mixed; boundary=${boundary}\r\n\r\n`);
    return Buffer.concat([head, ...parts, Buffer.from(`--${boundary}--\r\n`)]);
  }
  return text(random);
}

function text(random: SeededRandom): Buffer {
  const [charset, raw] = random.chance(0.4) ? random.pick(RAW) : (["utf-8", undefined] as const);
  const content = raw ?? Buffer.from(written(random));
  const type = random.pick(["text/plain", "text/html", "text/plain", "image/png"]);
  const encoding = random.pick(["base64", "quoted-printable", "8bit", "7bit", ""]);
  const head = [
    `Content-Type: ${type}${charset === "" ? "" : `; charset=${charset}`}`,
    ...(encoding === "" ? [] : [`Content-Transfer-Encoding: ${encoding}`]),
  ];
  return Buffer.concat([
    Buffer.from(`${head.join("\r\n")}\r\n\r\n`),
    transferred(random, content, encoding),
    Buffer.from("\r\n"),
  ]);
}

function written(random: SeededRandom): string {
  const lines = Array.from({ length: random.whole(1, 6) }, () => {
    if (random.chance(0.05)) return `${"\u0301".repeat(random.whole(1, 700))}${random.pick(PHRASES)}`;
    // Longer than what is turned into characters at a time.
    if (random.chance(0.02))
      return `${random.pick(["x", "会", "😀 "]).repeat(40_000)}${random.pick(PHRASES)}`;
    return random.chance(0.1) ? `\0${random.pick(PHRASES)}\0` : random.pick(PHRASES);
  });
  return lines.join(random.pick(["\r\n", "\n", "\r"]));
}

function transferred(random: SeededRandom, content: Buffer, encoding: string): Buffer {
  if (encoding === "base64") {
    const lines = content.toString("base64").replace(/.{76}/gu, "$&\r\n");
    return Buffer.from(random.chance(0.1) ? `${lines}\r\n!!${lines}` : lines);
  }
  if (encoding !== "quoted-printable") return content;
  const octets = Array.from(content, octet =>
    octet > 0x20 && octet < 0x7f && octet !== 0x3d
      ? String.fromCharCode(octet)
      : `=${octet.toString(16).padStart(2, "0")}`,
  );
  return Buffer.from(octets.map((octet, i) => (i % 60 === 59 ? `${octet}= \r\n` : octet)).join(""), "latin1");
}

function encoded(random: SeededRandom, phrase: string): string {
  if (random.chance(0.3)) return phrase;
  const words: string[] = [];
  const octets = Buffer.from(phrase);
  // Cut between octets, as some mailers do.
  for (let at = 0; at < octets.length; at += 10)
    words.push(`=?utf-8?B?${octets.toString("base64", at, at + 10)}?=`);
  return words.join(random.chance(0.5) ? "\r\n " : " ");
}
