import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { corpusThere, readCorpus } from "../lib/corpus.ts";
import { LmtpTestClient } from "../lib/lmtp-client.ts";
import { type MailSite, startMailSite } from "../lib/mail-site.ts";

const CORPUS_USER = "corpus@example.test";
const TORTURE_USER = "torture@example.test";
let site: MailSite;

before(async () => {
  site = await startMailSite({ users: [CORPUS_USER, TORTURE_USER], logLevel: "warn" });
});
after(() => site?.stop());

interface Case {
  readonly name: string;
  readonly bytes: Buffer;
}

async function deliverAll(user: string, cases: readonly Case[]): Promise<void> {
  const client = await LmtpTestClient.open(site.sidecar.lmtpPort);
  for (const [i, { name, bytes }] of cases.entries()) {
    const [reply = ""] = await client.deliver([user], bytes, `Q${i}${user.slice(0, 3)}`);
    assert.match(reply, /^250 2\.0\.0 stored/u, name);
  }
  client.close();
}

/** What is read must be the prefix and then exactly what was sent; sizes must be the octets of BODY[]. */
async function readBack(user: string, cases: readonly Case[], way: "direct" | "dovecot"): Promise<void> {
  await site.withImap(user, way, async client => {
    const lock = await client.getMailboxLock("INBOX");
    try {
      let seen = 0;
      for await (const one of client.fetch("1:*", { uid: true, size: true, source: true })) {
        const sent = cases[one.uid - 1];
        assert.ok(sent !== undefined && one.source !== undefined);
        // Dovecot shows NUL as 0x80.
        const expected =
          way === "dovecot" ? Buffer.from(sent.bytes.map(octet => (octet === 0 ? 0x80 : octet))) : sent.bytes;
        const prefix = one.source.length - expected.length;
        assert.ok(one.source.subarray(prefix).equals(expected), `${sent.name} ${way}`);
        const fields = one.source.subarray(0, prefix).toString("latin1");
        assert.match(
          fields,
          /^Return-Path: <sender@example\.org>\r\nDelivered-To: [^\r]+\r\nReceived: (?:[^\r]+\r\n\s)*[^\r]+\r\n$/u,
        );
        assert.equal(one.size, one.source.length, `size of ${sent.name} ${way}`);
        seen++;
      }
      assert.equal(seen, cases.length);
    } finally {
      lock.release();
    }
  });
}

test("the whole corpus comes back byte for byte, directly and through Dovecot", {
  skip: corpusThere() ? false : "no mail corpus here",
}, async () => {
  const corpus = readCorpus();
  assert.ok(corpus.length > 1000);
  await deliverAll(CORPUS_USER, corpus);
  await readBack(CORPUS_USER, corpus, "direct");
  await readBack(CORPUS_USER, corpus, "dovecot");
});

const head = "From: a@example.org\r\nSubject: torture\r\n";
const TORTURE: readonly Case[] = [
  { name: "empty body", bytes: Buffer.from(`${head}\r\n`) },
  { name: "no empty line", bytes: Buffer.from(head) },
  { name: "body only", bytes: Buffer.from("\r\njust a body\r\n") },
  { name: "leading white space", bytes: Buffer.from(` folded from nowhere\r\n${head}\r\nbody\r\n`) },
  { name: "mbox line", bytes: Buffer.from(`From a@example.org Sat Nov 21\r\n${head}\r\nbody\r\n`) },
  {
    name: "NUL and 8 bit",
    bytes: Buffer.concat([
      Buffer.from(`${head}\r\n`),
      Buffer.from(Array.from({ length: 256 }, (_, i) => i).filter(i => i !== 10 && i !== 13)),
      Buffer.from("\r\n"),
    ]),
  },
  { name: "bare CR and LF", bytes: Buffer.from(`${head}\r\na\rb\nc\n.\nd\r.\re\r\n`) },
  { name: "dots", bytes: Buffer.from(`${head}\r\n.\r\n..\r\n...\r\n.x\r\nend\r\n`) },
  { name: "a line of 1 MiB", bytes: Buffer.from(`${head}\r\n${"x".repeat(1_048_576)}\r\n`) },
  { name: "10 000 header fields", bytes: Buffer.from(`${"X-A: b\r\n".repeat(10_000)}${head}\r\nbody\r\n`) },
  { name: "nesting of 300", bytes: nested(300) },
  { name: "3000 parts", bytes: flat(3000) },
  { name: "5 MiB", bytes: Buffer.from(`${head}\r\n${"0123456789abcdef\r\n".repeat(290_000)}`) },
];

function nested(depth: number): Buffer {
  let inner = "Content-Type: text/plain\r\n\r\ninnermost\r\n";
  for (let i = depth; i > 0; i--) {
    inner = `Content-Type: multipart/mixed; boundary="b${i}"\r\n\r\n--b${i}\r\n${inner}\r\n--b${i}--\r\n`;
  }
  return Buffer.from(`${head}MIME-Version: 1.0\r\n${inner}`);
}

function flat(parts: number): Buffer {
  const part = "--b\r\nContent-Type: text/plain\r\n\r\npart\r\n";
  return Buffer.from(
    `${head}Content-Type: multipart/mixed; boundary=b\r\n\r\n${part.repeat(parts)}--b--\r\n`,
  );
}

test("torture comes back byte for byte, directly and through Dovecot", async () => {
  await deliverAll(TORTURE_USER, TORTURE);
  await readBack(TORTURE_USER, TORTURE, "direct");
  await readBack(TORTURE_USER, TORTURE, "dovecot");
});
