/** Hostile mail as it may arrive, generated (quality R6): each message ends with CRLF, as every LMTP client must end it. */

export interface NamedMessage {
  readonly name: string;
  readonly bytes: Buffer;
}

const HEAD = "From: a@example.org\r\nSubject: torture\r\n";

function latin1(text: string): Buffer {
  return Buffer.from(text, "latin1");
}

function nested(depth: number): string {
  let inner = "Content-Type: text/plain\r\n\r\ninnermost\r\n";
  for (let i = depth; i > 0; i--) {
    inner = `Content-Type: multipart/mixed; boundary="b${i}"\r\n\r\n--b${i}\r\n${inner}\r\n--b${i}--\r\n`;
  }
  return `${HEAD}MIME-Version: 1.0\r\n${inner}`;
}

/** A multipart with the given boundary and raw body. */
function multipart(boundary: string, body: string, subtype = "mixed"): string {
  return `${HEAD}MIME-Version: 1.0\r\nContent-Type: multipart/${subtype}; boundary="${boundary}"\r\n\r\n${body}`;
}

const PART = "--b\r\nContent-Type: text/plain\r\n\r\npart\r\n";
const ALL_OCTETS = String.fromCharCode(
  ...Array.from({ length: 256 }, (_, i) => i).filter(i => i !== 10 && i !== 13),
);

const TEXTS: Readonly<Record<string, string>> = {
  "empty message": "",
  "only CRLF": "\r\n",
  "two CRLF": "\r\n\r\n",
  "empty body": `${HEAD}\r\n`,
  "only a header": HEAD,
  "one field without a value": "Subject:\r\n",
  "body only": "\r\njust a body\r\n",
  "no colon anywhere": "no header at all\r\nand no empty line\r\n",
  "leading white space": ` folded from nowhere\r\n${HEAD}\r\nbody\r\n`,
  "leading tab": `\t${HEAD}\r\nbody\r\n`,
  "leading white space alone": " \r\n",
  "mbox line": `From a@example.org Sat Nov 21\r\n${HEAD}\r\nbody\r\n`,
  "NUL and 8 bit": `${HEAD}\r\n${ALL_OCTETS}\r\n`,
  "NUL in a header": `${HEAD}X-Nul: a\0b\r\n\r\nbody\r\n`,
  "8-bit header": `${HEAD}X-Raw: caf\xe9 \xe3\x81\x82 \xff\r\nFrom: \xe9 <b@example.org>\r\n\r\nbody\r\n`,
  "bare CR and LF": `${HEAD}\r\na\rb\nc\n.\nd\r.\re\r\n`,
  "header lines end in LF": `From: a@example.org\nSubject: lf\n\nbody\nmore\r\n`,
  "bare CR in a header": `${HEAD}X-Cr: a\rInjected: b\r\n\r\nbody\r\n`,
  "white space before the colon": `Subject : x\r\nFrom\t: a@example.org\r\n\r\nbody\r\n`,
  dots: `${HEAD}\r\n.\r\n..\r\n...\r\n.x\r\nend\r\n`,
  "a line of 1 MiB": `${HEAD}\r\n${"x".repeat(1_048_576)}\r\n`,
  "a header line of 1 MiB": `${HEAD}X-Long: ${"x".repeat(1_048_576)}\r\n\r\nbody\r\n`,
  "10 000 header fields": `${"X-A: b\r\n".repeat(10_000)}${HEAD}\r\nbody\r\n`,
  "nesting of 300": nested(300),
  "3000 parts": multipart("b", `${PART.repeat(2990)}--b--\r\n`),
  "5 MiB": `${HEAD}\r\n${"0123456789abcdef\r\n".repeat(290_000)}`,
  "broken charsets": multipart(
    "b",
    `--b\r\nContent-Type: text/plain; charset=no-such\r\n\r\n\xff\xfe\r\n--b\r\nContent-Type: text/plain; charset="\xe3\x81"\r\n\r\n\x1b$B\x1b(\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\xc3\x28\r\n--b--\r\n`,
  ),
  "broken encodings": multipart(
    "b",
    `--b\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!=\r\n--b\r\nContent-Transfer-Encoding: x-none\r\n\r\n=ZZ\r\n--b--\r\n`,
  ),
  "no end boundary": multipart("b", `preamble\r\n${PART}${PART}`),
  "no boundary at all": multipart("b", "neither\r\nhere\r\n"),
  "no boundary parameter": `${HEAD}Content-Type: multipart/mixed\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n`,
  "end boundary first": multipart("b", `--b--\r\nepilogue\r\n${PART}`),
  "boundary that is the beginning of another": `${HEAD}Content-Type: multipart/mixed; boundary="outer"\r\n\r\n--outer\r\nContent-Type: multipart/mixed; boundary="outerinner"\r\n\r\n--outerinner\r\n\r\none\r\n--outerinner--\r\n--outer\r\n\r\ntwo\r\n--outer--\r\n`,
  "inner part without its end": `${HEAD}Content-Type: multipart/mixed; boundary="o"\r\n\r\n--o\r\nContent-Type: multipart/mixed; boundary="i"\r\n\r\n--i\r\n\r\none\r\n--o\r\n\r\ntwo\r\n--o--\r\n`,
  "header-only parts": multipart(
    "b",
    "--b\r\nContent-Type: text/plain\r\n--b\r\nX-A: b\r\n\r\n--b\r\n\r\n--b--\r\n",
  ),
  "white space behind boundaries": multipart(
    "b",
    "--b \t\r\n\r\none\r\n--b\t\r\n\r\ntwo\r\n--b-- \r\nepilogue\r\n",
  ),
  "attached message without a header": multipart(
    "b",
    "--b\r\nContent-Type: message/rfc822\r\n\r\n\r\nonly a body\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n--b--\r\n",
  ),
  "attached multipart": multipart(
    "b",
    `--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: in\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\none\r\n--c\r\nContent-Type: message/rfc822\r\n\r\nSubject: deep\r\n\r\ndeep\r\n--c--\r\n--b--\r\n`,
  ),
  digest: multipart(
    "b",
    "--b\r\n\r\nSubject: one\r\n\r\n1\r\n--b\r\nContent-Type: text/plain\r\n\r\n2\r\n--b--\r\n",
    "digest",
  ),
  "base64 message": `${HEAD}Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nU3ViamVjdDogeA==\r\n`,
  "two content types": `${HEAD}Content-Type: text/plain\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n`,
};

export const TORTURE: readonly NamedMessage[] = Object.entries(TEXTS).map(([name, text]) => ({
  name,
  bytes: latin1(text),
}));
