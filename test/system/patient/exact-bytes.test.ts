import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { corpusThere, readCorpus } from "../../lib/corpus.ts";
import { LmtpTestClient } from "../../lib/lmtp-client.ts";
import { type MailSite, startMailSite } from "../../lib/mail-site.ts";
import { type NamedMessage as Case, TORTURE } from "../../lib/torture.ts";

const CORPUS_USER = "corpus@example.test";
const TORTURE_USER = "torture@example.test";
let site: MailSite;

before(async () => {
  site = await startMailSite({ users: [CORPUS_USER, TORTURE_USER], logLevel: "warn" });
});
after(() => site?.stop());

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

test("torture comes back byte for byte, directly and through Dovecot", async () => {
  await deliverAll(TORTURE_USER, TORTURE);
  await readBack(TORTURE_USER, TORTURE, "direct");
  await readBack(TORTURE_USER, TORTURE, "dovecot");
});
