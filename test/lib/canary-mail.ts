/** Messages of every kind that plugins must not see too much of; each field holds a token of its own (`canaries.ts`). */
import { type Need, type Secret, sha256, tokenOf } from "./canaries.ts";

export interface CanaryMail {
  readonly name: string;
  readonly source: Buffer;
  readonly secrets: readonly Secret[];
  /** Tokens that stand beside the message: in its envelope, and in what hooks before left. */
  readonly around: Readonly<Record<Around, string>>;
}

const AROUND = {
  mailFrom: { kind: "envelope" },
  recipient: { kind: "envelope" },
  otherRecipient: { kind: "never" },
  clientName: { kind: "envelope" },
  helo: { kind: "envelope" },
  clientSource: { kind: "never" },
  queueId: { kind: "envelope" },
  threadKey: { kind: "envelope" },
  account: { kind: "envelope" },
  authUser: { kind: "submitter" },
  spf: { kind: "envelope" },
  dkim: { kind: "envelope" },
  dmarc: { kind: "envelope" },
  arc: { kind: "envelope" },
  tag: { kind: "envelope" },
  provenance: { kind: "envelope" },
} as const satisfies Record<string, Need>;
export type Around = keyof typeof AROUND;

const NEVER: Need = { kind: "never" };
const PREVIEW: Need = { kind: "body", from: "preview" };
const FULL: Need = { kind: "body", from: "full" };
const NAMES: Need = { kind: "attachment", from: "metadata" };
const START: Need = { kind: "attachment", from: "preview" };
const CONTENT: Need = { kind: "attachment", from: "full" };

/** Hands out tokens and notes what each of them needs. */
class Secrets {
  readonly list: Secret[] = [];

  token(where: string, need: Need, around: (token: string) => string = token => token): string {
    const token = tokenOf(this.list.length);
    const shown = around(token);
    this.list.push({ where, need, token, ...(shown === token ? {} : { shown }) });
    return token;
  }

  /** The fields that end the message's header are seen with it, whatever else they say. */
  seenInHeader(block: string): void {
    for (const [i, secret] of this.list.entries()) {
      const before = block.indexOf(secret.token ?? "\n\n");
      if (before === -1) continue;
      const name =
        block
          .slice(0, before)
          .match(/^[A-Za-z-]+(?=:)/gm)
          ?.at(-1) ?? "";
      const header: Need = { kind: "header", field: name.toLowerCase() };
      this.list[i] = { ...secret, need: { kind: "either", of: [header, secret.need] } };
    }
  }

  digest(where: string, need: Need, bytes: Uint8Array | string): void {
    this.list.push({ where, need, digest: sha256(bytes) });
  }
}

/** A header with its empty line, or the end of one. */
const crlf = (text: string) => Buffer.from(text.replace(/\r?\n/g, "\r\n"), "latin1");
const lines = (bytes: Uint8Array) =>
  Buffer.from(
    Buffer.from(bytes)
      .toString("base64")
      .replace(/(.{76})/g, "$1\r\n"),
  );
const filler = (octets: number) => "lorem ipsum\r\n".repeat(Math.ceil(octets / 13)).slice(0, octets);

/** Builds the header and body that follow the message's own fields. */
type Build = (secrets: Secrets) => Buffer;

function mail(name: string, build: Build): CanaryMail {
  const secrets = new Secrets();
  const field = (lower: string) => secrets.token(`header ${lower}`, { kind: "header", field: lower });
  const never = (where: string) => secrets.token(where, NEVER);
  const header = crlf(
    `Received: from ${field("received")} by mx; Mon, 1 Jan 2026 00:00:00 +0000
Authentication-Results: mx.example.com; dkim=pass header.d=${field("authentication-results")}
From: "${field("from")}" <a@example.org>
To: ${field("to")}@example.com
Bcc: ${never("Bcc")}@example.com
 , ${never("folded Bcc")}@example.com
RESENT-BCC: ${never("Resent-Bcc")}@example.com
X-MaiRust-Trace: v1; id=${never("X-MaiRust-Trace")}
x-mairust-tags: ${never("x-mairust-tags")}
Subject: =?utf-8?q?=E8=AB=8B=E6=B1=82=E6=9B=B8?= ${secrets.token("header subject", { kind: "header", field: "subject" }, t => `請求書 ${t}`)}
X-Custom: ${field("x-custom")}
MIME-Version: 1.0
`,
  );
  const rest = build(secrets);
  const source = Buffer.concat([header, rest]);
  secrets.seenInHeader(rest.toString("latin1", 0, Math.max(0, rest.indexOf("\r\n\r\n"))));
  secrets.digest("digest of the message", NEVER, source);
  secrets.digest("digest of the body", NEVER, rest.subarray(rest.indexOf("\r\n\r\n") + 4));
  const around = Object.fromEntries(
    Object.entries(AROUND).map(([where, need]) => [where, secrets.token(where, need)]),
  ) as Record<Around, string>;
  return { name, source, secrets: secrets.list, around };
}

/** A text part: seen from its start on, and its end only whole. */
function text(secrets: Secrets, type: string, encode: (text: string) => Uint8Array, more = ""): Buffer {
  const start = secrets.token("start of the text", PREVIEW);
  const end = secrets.token("end of the text", FULL);
  const description = secrets.token("Content-Description of the text", NEVER);
  const body = encode(`${start}\r\n${filler(6000)}\r\n${end}\r\n`);
  return Buffer.concat([crlf(`Content-Type: ${type}\nContent-Description: ${description}\n${more}\n`), body]);
}

/** Words of another alphabet behind the token: they show whether the charset was read right. */
function charset(secrets: Secrets, type: string, octets: number[] | Buffer, word: string, more = ""): Buffer {
  const token = secrets.token("start of the text", PREVIEW, t => `${t}${word}`);
  const end = secrets.token("end of the text", FULL, t => `${t}${word}`);
  const words = Buffer.from(octets);
  const body = Buffer.concat([
    Buffer.from(token),
    words,
    Buffer.from(`\r\n${filler(5000)}\r\n${end}`),
    words,
    Buffer.from("\r\n"),
  ]);
  return Buffer.concat([crlf(`Content-Type: ${type}\n${more}\n`), body]);
}

const plainText = (secrets: Secrets) => text(secrets, "text/plain; charset=utf-8", body => Buffer.from(body));

function multi(secrets: Secrets, kind: string, ...parts: readonly Buffer[]): Buffer {
  const boundary = secrets.token("boundary", NEVER);
  return Buffer.concat([
    crlf(`Content-Type: multipart/${kind}; boundary=${boundary}\n\n${secrets.token("preamble", NEVER)}\n`),
    ...parts.flatMap(part => [crlf(`--${boundary}\n`), part, crlf("\n")]),
    crlf(`--${boundary}--\n${secrets.token("epilogue", NEVER)}\n`),
  ]);
}

interface FileOptions {
  readonly type?: string;
  /** Octets of the decoded content beyond its tokens. */
  readonly size?: number;
  readonly name?: string;
}

function file(secrets: Secrets, { type = "application/pdf", size = 8000, name }: FileOptions = {}): Buffer {
  const filename = name ?? `filename="${secrets.token("file name", NAMES)}.pdf"`;
  const content = Buffer.from(
    `${secrets.token("start of the file", START)}${"\0\x01\xff".repeat(size / 3)}${secrets.token(
      "end of the file",
      size > 1_048_576 ? NEVER : CONTENT,
    )}`,
    "latin1",
  );
  secrets.digest("digest of the file", START, content);
  secrets.digest("digest of the encoded file", NEVER, lines(content));
  return Buffer.concat([
    crlf(
      `Content-Type: ${type}
Content-Transfer-Encoding: base64
Content-Disposition: attachment; ${filename}
Content-ID: <${secrets.token("Content-ID", NAMES)}@x>
Content-Description: ${secrets.token("Content-Description of the file", NEVER)}

`,
    ),
    lines(content),
  ]);
}

/** Text whose token ends exactly at `octets`. */
function edge(secrets: Secrets, octets: number): Buffer {
  const token = secrets.token(`token that ends at ${octets}`, octets <= 4096 ? PREVIEW : FULL);
  return Buffer.concat([
    crlf("Content-Type: text/plain; charset=us-ascii\n\n"),
    Buffer.from(`${"a".repeat(octets - token.length)}${token}`),
  ]);
}

function html(secrets: Secrets): Buffer {
  const seen = secrets.token("text of the HTML", PREVIEW);
  const script = secrets.token("script of the HTML", FULL);
  return crlf(
    `Content-Type: text/html; charset=utf-8\n\n<html><head><script>${script}</script></head><body><p>${seen}</p></body></html>\n`,
  );
}

function nested(secrets: Secrets): Buffer {
  const inner = crlf(
    `From: b@example.org
Bcc: ${secrets.token("Bcc of the attached message", START)}@example.org
Subject: ${secrets.token("Subject of the attached message", START)}

${secrets.token("text of the attached message", START)}
${filler(5000)}
${secrets.token("end of the attached message", CONTENT)}
`,
  );
  secrets.digest("digest of the attached message", START, inner);
  return Buffer.concat([crlf("Content-Type: message/rfc822\n\n"), inner]);
}

function bomb(secrets: Secrets): Buffer {
  const part = (content: string) => crlf(`Content-Type: image/png; x=y\n\n${content}`);
  const some = Array.from({ length: 2000 }, (_, i) => {
    if (i === 500) return part(secrets.token("part 500", START));
    if (i === 1500) return part(secrets.token("part 1500", NEVER));
    return part("x");
  });
  return multi(secrets, "mixed", plainText(secrets), ...some);
}

const quoted = (body: string) =>
  Buffer.from(body.replace(/lorem/g, "=6Corem").replace(/ipsum\r\n/g, "ipsum=\r\n"));
const SJIS = [0x90, 0xbf, 0x8b, 0x81, 0x8f, 0x91];
const EUC = [0xc0, 0xc1, 0xb5, 0xe1, 0xbd, 0xf1];
const JIS = Buffer.from("\x1b$B@A5a=q\x1b(B", "latin1");
const B64 = "Content-Transfer-Encoding: base64\n";

/** @returns fresh messages; one of them has 10 MB */
export function canaryMail(): readonly CanaryMail[] {
  return [
    mail("ISO-2022-JP", s => charset(s, "text/plain; charset=iso-2022-jp", JIS, "請求書")),
    mail("Shift_JIS labelled cp932", s => charset(s, "text/plain; charset=cp932", SJIS, "請求書")),
    mail("Shift_JIS labelled utf-8", s =>
      text(s, "text/plain; charset=utf-8", b => Buffer.concat([Buffer.from(b), Buffer.from(SJIS)])),
    ),
    mail("EUC-JP", s => charset(s, "text/plain; charset=eucjp-ms", EUC, "請求書")),
    mail("UTF-8 in base64", s => text(s, "text/plain; charset=utf-8", b => lines(Buffer.from(b)), B64)),
    mail("UTF-8 in quoted-printable", s =>
      text(s, "text/plain; charset=utf-8", quoted, "Content-Transfer-Encoding: quoted-printable\n"),
    ),
    mail("GB18030", s => charset(s, "text/plain; charset=gb18030", [0xb7, 0xa2, 0xc6, 0xb1], "发票")),
    mail("EUC-KR", s =>
      charset(s, "text/plain; charset=euc-kr", [0xc3, 0xbb, 0xb1, 0xb8, 0xbc, 0xad], "청구서"),
    ),
    mail("no charset", s => charset(s, "text/plain", Buffer.from("請求書"), "請求書")),
    mail("alternative without plain", s => multi(s, "alternative", html(s), file(s))),
    mail("HTML only", s => html(s)),
    mail("plain and HTML", s =>
      multi(
        s,
        "alternative",
        plainText(s),
        crlf(`Content-Type: text/html\n\n<p>${s.token("HTML beside the text", FULL)}`),
      ),
    ),
    mail("an attached message", s => multi(s, "mixed", plainText(s), nested(s))),
    mail("winmail.dat", s =>
      multi(s, "mixed", plainText(s), file(s, { type: "application/ms-tnef", name: "filename=winmail.dat" })),
    ),
    mail("S/MIME, encrypted", s => file(s, { type: "application/pkcs7-mime; smime-type=enveloped-data" })),
    mail("S/MIME, signed", s =>
      multi(
        s,
        'signed; protocol="application/pkcs7-signature"',
        plainText(s),
        Buffer.concat([
          crlf(`Content-Type: application/pkcs7-signature; name=smime.p7s\n${B64}\n`),
          lines(Buffer.from(s.token("signature", NEVER))),
        ]),
      ),
    ),
    mail("PGP, encrypted", s =>
      multi(
        s,
        'encrypted; protocol="application/pgp-encrypted"',
        crlf("Content-Type: application/pgp-encrypted\n\nVersion: 1\n"),
        file(s, { type: "application/octet-stream" }),
      ),
    ),
    mail("text inside an encrypted message", s =>
      multi(s, "encrypted", crlf(`Content-Type: text/plain\n\n${s.token("text inside", START)}\n`)),
    ),
    mail("a Japanese file name by RFC 2231", s =>
      multi(
        s,
        "mixed",
        plainText(s),
        file(s, {
          name: `filename*0*=utf-8''%E8%AB%8B%E6%B1%82;\n filename*1*=%E6%9B%B8${s.token("extended file name", NAMES, t => `請求書${t}`)}`,
        }),
      ),
    ),
    mail("an attachment of 10 MB", s => multi(s, "mixed", plainText(s), file(s, { size: 10_485_759 }))),
    mail("broken base64", s =>
      text(
        s,
        "text/plain; charset=utf-8",
        b =>
          Buffer.from(
            lines(Buffer.from(b))
              .toString()
              .replace(/(.{7})/g, "$1!"),
          ),
        B64,
      ),
    ),
    mail("an empty body", () => crlf("Content-Type: text/plain\n\n")),
    mail("only a header", () => crlf("X: y\n")),
    mail("4095 octets", s => edge(s, 4095)),
    mail("4096 octets", s => edge(s, 4096)),
    mail("4097 octets", s => edge(s, 4097)),
    mail("2000 parts", bomb),
    mail("files alone", s => multi(s, "mixed", file(s), file(s), file(s))),
    mail("deep", s => {
      let inner = multi(
        s,
        "mixed",
        crlf(`Content-Type: text/plain\n\n${s.token("text of level 25", NEVER)}\n`),
      );
      for (let level = 0; level < 25; level++) inner = multi(s, "mixed", inner);
      return multi(s, "mixed", plainText(s), inner);
    }),
  ];
}
