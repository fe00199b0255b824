/** The sample plugins/dlp as README.md sets it up, in enforce, behind a real Postfix: what is sent is refused, held and released, or as it was. */
import assert from "node:assert/strict";
import { request } from "node:http";
import { after, before, test } from "node:test";
import { packageRoot } from "../../src/platform/package-root.ts";
import { cardNumber, myNumber } from "../lib/dlp-corpus.ts";
import { type MailSite, startMailSite } from "../lib/mail-site.ts";
import { SeededRandom } from "../lib/random.ts";
import { blocks, readmeSection } from "../lib/readme.ts";
import { SmtpTestClient } from "../lib/smtp-client.ts";

const TARO = "taro@example.test";
const JIRO = "jiro@example.test";
const HOOK = "com.example.mairust.dlp";
const random = new SeededRandom(7);
let site: MailSite;

before(async () => {
  const toml = blocks(readmeSection("Stop data from leaving"), "toml").find(block =>
    block.includes('name = "dlp"'),
  );
  assert.ok(toml !== undefined);
  assert.ok(toml.includes(HOOK));
  site = await startMailSite({
    users: [],
    milterStage: "store",
    submits: true,
    postfixSettings: {
      smtpd_authorized_xclient_hosts: "127.0.0.1",
      in_flow_delay: "0",
      default_transport: "discard:",
      smtpd_relay_restrictions: "permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination",
    },
    toml: toml.replace("/opt/mairust", packageRoot()).replace('"shadow"', '"enforce"'),
  });
});
after(() => site?.stop());

/** @returns the last reply */
async function send(subject: string, text: string): Promise<string> {
  const client = await SmtpTestClient.open(site.postfix.smtpPort);
  try {
    assert.match(await client.command("XCLIENT ADDR=192.0.2.7 NAME=far.test LOGIN=taro"), /^220/u);
    await client.command("EHLO far.test");
    return await client.send(TARO, [JIRO], mail(subject, text));
  } finally {
    client.close();
  }
}

const mail = (subject: string, text: string) =>
  `Date: Mon, 05 Jan 2026 09:00:00 +0900\r\nMessage-ID: <${subject.replace(" ", ".")}@example.test>\r\nFrom: ${TARO}\r\nTo: ${JIRO}\r\nSubject: ${subject}\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n${text}\r\n`;

async function received(subject: string): Promise<readonly string[]> {
  await site.drainQueue();
  return site.withImap(JIRO, "direct", async client => {
    const { exists } = await client.mailboxOpen("INBOX", { readOnly: true });
    const found: string[] = [];
    if (exists === 0) return found;
    for await (const one of client.fetch("1:*", { source: true })) {
      const text = one.source?.toString("latin1") ?? "";
      if (text.includes(`\r\nSubject: ${subject}\r\n`)) found.push(text);
    }
    return found;
  });
}

test("a card number is refused while its sender is connected, and nobody writes it down", async () => {
  const digits = cardNumber(random);
  assert.match(
    await send("card", `Charge ${digits}.`),
    /^550 5\.7\.1 it holds 1 card number id=[0-9a-f-]{36}$/u,
  );
  assert.deepEqual(await received("card"), []);
  assert.ok(!site.sidecar.logText().includes(digits));
});

test("a My Number is held; its sender cannot let it go, somebody else can, and it arrives as it was", async () => {
  const digits = myNumber(random);
  const text = `My number is ${digits}.`;
  assert.match(await send("my number", text), /^250 /u);
  assert.deepEqual(await received("my number"), []);
  const listed = (
    await site.sidecar.mairust(["held", "list", "--hook", "dlp", "-f", "json"])
  ).stdout.toString();
  assert.match(listed, /"it holds 1 My Number"/u);
  assert.ok(!listed.includes(digits));
  const id = /"id":\s*"([0-9a-f-]{36})"/u.exec(listed)?.[1] ?? "";
  assert.equal(await askAs("taro", `/api/v1/held/${id}/release`), 403);
  const released = await site.sidecar.mairust(["held", "release", id]);
  assert.equal(released.code, 0, released.stderr);
  const [only, ...others] = await received("my number");
  assert.deepEqual(others, []);
  assert.ok(only?.endsWith(`\r\n\r\n${text}\r\n`), only);
});

test("mail with nothing of the kind is as it was", async () => {
  const text = "Lunch at 12:30? Call 03-1234-5678.";
  assert.match(await send("lunch", text), /^250 /u);
  const [only, ...others] = await received("lunch");
  assert.deepEqual(others, []);
  assert.ok(only?.endsWith(mail("lunch", text)), only);
});

/** @returns the status */
function askAs(user: string, path: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const headers = { "x-mairust-actor": user };
    const asked = request(
      { socketPath: site.sidecar.apiSocket, method: "POST", path, headers, agent: false },
      answer => {
        answer.resume();
        answer.on("end", () => resolve(answer.statusCode ?? 0));
      },
    );
    asked.on("error", reject).end();
  });
}
