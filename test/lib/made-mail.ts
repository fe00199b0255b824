/**
 * Mail in many forms, the same for the same seed: address fields, dates, encoded words, folding, types with odd parameters,
 * dispositions, languages, nested messages. Well-formed as a whole; single fields may be empty, broken or doubled.
 */
import { SeededRandom } from "./random.ts";
import type { NamedMessage } from "./torture.ts";

const ADDRESSES = [
  "a@example.org",
  "<b@example.org>",
  "Plain Name <c@example.org>",
  '"Quoted, Name" <d@example.org>',
  '"back\\\\slash \\"and quote\\"" <e@example.org>',
  "(comment) f@example.org (another)",
  "=?UTF-8?B?5bGx55Sw?= <g@example.org>",
  "=?ISO-8859-1?Q?Andr=E9?= Pirard <PIRARD@vm1.ulg.ac.be>",
  '"=?UTF-8?Q?quoted?=" <h@example.org>',
  "A Group: a@example.org, B <b@example.org>;",
  "undisclosed-recipients:;",
  '"local part"@example.org',
  "very.long.name.with.dots@sub.domain.example.org",
  "<@route.example.org:i@example.org>",
  "no-domain",
  "j@[192.0.2.1]",
  "Dots. In. Name <k@example.org>",
  "",
] as const;
const DATES = [
  "Fri, 21 Nov 1997 09:55:06 -0600",
  "21 Nov 97 09:55:06 GMT",
  "Sat, 1 Feb 2025 23:59:59 +0900",
  "Sun, 02 Feb 2025 00:00:01 -1200",
  "Thu, 13 Feb 1975 23:32:54 -0330",
  "not a date",
  "",
] as const;
const SUBJECTS = [
  "plain words",
  "Re: [list] plain words",
  "=?UTF-8?B?5pel5pys6Kqe44Gu5Lu25ZCN?=",
  "=?iso-2022-jp?B?GyRCRnxLXDhsGyhC?=",
  "=?UTF-8?Q?caf=C3=A9?= =?UTF-8?Q?_au_lait?=",
  "folded\r\n onto a second\r\n\tand a third line",
  'with "quotes" and \\ backslash',
  "trailing space ",
  "x".repeat(300),
  "",
] as const;
const PARAMETERS = [
  "",
  "; charset=utf-8",
  '; charset="UTF-8"; format=flowed',
  "; name=plain.txt",
  '; name="quoted name.txt"',
  "; name*=utf-8''%E6%97%A5.txt",
  "; name*0=part1; name*1=part2",
  '; x="a\\"b\\\\c"',
  "; (comment) charset = us-ascii",
  ";\r\n\tcharset=koi8-r",
] as const;
const EXTENSIONS = [
  "Content-Disposition: attachment",
  'Content-Disposition: attachment; filename="a b.txt"; size=12',
  "Content-Disposition: INLINE",
  "Content-Disposition: attachment; filename*=utf-8''%E6%97%A5.txt",
  "Content-Language: en",
  "Content-Language: en, de",
  "Content-Location: http://example.org/a/b",
  "Content-MD5: Q2hlY2sgSW50ZWdyaXR5IQ==",
  "Content-ID: <part1@example.org>",
  "Content-Description: a description",
  "Content-Description: =?UTF-8?Q?caf=C3=A9?=",
  "X-Other: something",
] as const;
const LINES = [
  "Plain words in a line.",
  "",
  ".",
  "--",
  "From somebody",
  "caf\xe9 in eight bits",
  "caf\xc3\xa9 in UTF-8",
  "needle in the body",
  "long ".repeat(40),
] as const;

class Maker {
  readonly #random: SeededRandom;
  #boundaries = 0;

  constructor(seed: number) {
    this.#random = new SeededRandom(seed);
  }

  message(depth: number): string {
    const fields = this.#random.shuffled(this.#header());
    return `${fields.join("\r\n")}${fields.length > 0 ? "\r\n" : ""}${this.#entity(depth)}`;
  }

  #header(): string[] {
    const random = this.#random;
    const fields: string[] = [];
    for (const name of ["From", "To", "Cc", "Bcc", "Sender", "Reply-To"] as const) {
      if (!random.chance(name === "From" || name === "To" ? 0.9 : 0.3)) continue;
      const list = Array.from({ length: random.whole(1, 3) }, () => random.pick(ADDRESSES));
      fields.push(`${name}: ${list.filter(each => each !== "").join(random.pick([", ", ",\r\n "]))}`);
    }
    if (random.chance(0.9)) fields.push(`Subject: ${random.pick(SUBJECTS)}`);
    if (random.chance(0.9)) fields.push(`Date: ${random.pick(DATES)}`);
    if (random.chance(0.8)) fields.push(`Message-ID: <${random.whole(1, 1e9)}@example.org>`);
    if (random.chance(0.3)) fields.push("In-Reply-To: <parent@example.org> (a comment)");
    if (random.chance(0.3)) fields.push("X-Test: one", "x-test: two");
    if (random.chance(0.7)) fields.push("MIME-Version: 1.0");
    return fields;
  }

  /** From the Content- fields on, with the empty line. */
  #entity(depth: number): string {
    const random = this.#random;
    const extensions = random.shuffled(EXTENSIONS).slice(0, random.whole(0, 3));
    const names = new Set<string>();
    const fields: string[] = extensions.filter(field => {
      const name = field.slice(0, field.indexOf(":"));
      return !names.has(name) && names.add(name) !== undefined;
    });
    const made = this.#content(depth);
    if (made.type !== "") fields.unshift(`Content-Type: ${made.type}`);
    if (made.encoding !== "") fields.push(`Content-Transfer-Encoding: ${made.encoding}`);
    const header = random.shuffled(fields).map(field => `${field}\r\n`);
    return `${header.join("")}\r\n${made.body}`;
  }

  #content(depth: number): { readonly type: string; readonly encoding: string; readonly body: string } {
    const random = this.#random;
    const kind = depth > 0 ? random.pick(["leaf", "leaf", "multipart", "multipart", "message"]) : "leaf";
    if (kind === "message")
      return { type: "message/rfc822", encoding: "", body: `${this.message(depth - 1)}\r\n` };
    if (kind === "multipart") return this.#multipart(depth);
    const type = random.pick(["", "text/plain", "TEXT/HTML", "image/png", "Application/Octet-Stream"]);
    const encoding = random.pick(["", "7bit", "8BIT", "base64", "quoted-printable", "X-Unknown"]);
    return { type: type === "" ? "" : type + random.pick(PARAMETERS), encoding, body: this.#text(encoding) };
  }

  #text(encoding: string): string {
    const lines = Array.from({ length: this.#random.whole(0, 5) }, () => this.#random.pick(LINES));
    const text = lines.map(line => `${line}\r\n`).join("");
    if (encoding !== "base64") return text;
    const encoded = Buffer.from(text, "latin1").toString("base64");
    return (encoded.match(/.{1,76}/gu) ?? []).map(line => `${line}\r\n`).join("");
  }

  #multipart(depth: number): { readonly type: string; readonly encoding: string; readonly body: string } {
    const random = this.#random;
    const boundary = `=_${this.#boundaries++}_=`;
    const parts = Array.from(
      { length: random.whole(1, 3) },
      () => `--${boundary}\r\n${this.#entity(depth - 1)}\r\n`,
    );
    const preamble = random.pick(["", "This is a preamble.\r\n"]);
    const epilogue = random.pick(["", "An epilogue.\r\n"]);
    return {
      type: `multipart/${random.pick(["mixed", "ALTERNATIVE", "digest"])}; boundary="${boundary}"`,
      encoding: "",
      body: `${preamble}${parts.join("")}--${boundary}--\r\n${epilogue}`,
    };
  }
}

/** @returns `count` messages; each depends on its number alone */
export function madeMail(count: number): readonly NamedMessage[] {
  return Array.from({ length: count }, (_, i) => {
    const text = new Maker(i + 1).message(i % 4);
    return { name: `made ${i + 1}`, bytes: Buffer.from(text, "latin1") };
  });
}
