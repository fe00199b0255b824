/** Text, fields and blind recipients that a plugin adds to mail that is sent, through a real Postfix. */
import assert from "node:assert/strict";
import { get } from "node:http";
import { after, before, test } from "node:test";
import { type ParsedMail, simpleParser } from "mailparser";
import { makeScratch } from "../../src/mailhost/scratch.ts";
import { deadlineAfter, sleep } from "../../src/platform/deadline.ts";
import { FOOTER, FOOTER_PLUGIN, footerPlugin } from "../lib/footer-plugin.ts";
import { type MailSite, startMailSite } from "../lib/mail-site.ts";
import { SmtpTestClient } from "../lib/smtp-client.ts";

const WAIT_MS = 30_000;
const TARO = "taro@example.test";
const JIRO = "jiro@example.test";
const ARCHIVE = "archive@example.test";

const scratch = await makeScratch();
let site: MailSite;

before(async () => {
  site = await startMailSite({
    users: [TARO],
    milterStage: "store",
    submits: true,
    postfixSettings: {
      smtpd_authorized_xclient_hosts: "127.0.0.1",
      in_flow_delay: "0",
      default_transport: "discard:",
      smtpd_relay_restrictions: "permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination",
    },
    toml: footerPlugin(scratch.dir, ARCHIVE),
  });
});
after(async () => {
  await site?.stop();
  await scratch.remove();
});

const PDF = Buffer.from(Array.from({ length: 60_000 }, (_, i) => (i * i * 31) & 255)).toString("base64");
/** What an MTA might touch: a long line, a dot at its start, a CR alone, NULs are not allowed in mail. */
const RAW = `.dot\r\n..two\r\n${"long ".repeat(1500)}\r\nbare\rcr and 8bit \xe9\r\n\r\n\r\n`;
const PARTS = `--b
Content-Type: multipart/alternative; boundary=alt

--alt
Content-Type: text/plain; charset=us-ascii

Hello.

--alt
Content-Type: text/html; charset=us-ascii

<html><body>Hello.</body></html>
--alt--

--b
Content-Type: application/pdf; name=a.pdf
Content-Transfer-Encoding: base64
Content-Disposition: attachment; filename=a.pdf

${PDF.replace(/.{76}/g, "$&\n")}
--b
Content-Type: application/octet-stream
Content-Transfer-Encoding: 8bit
Content-Disposition: attachment; filename=raw

`.replaceAll("\n", "\r\n");
const MIXED = `MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n${PARTS}${RAW}\r\n--b--\r\n`;
const PLAIN = "\r\nHello.\r\n";

const mail = (subject: string, rest: string, more = "") =>
  `${more}From: ${TARO}\r\nTo: ${JIRO}\r\nMessage-ID: <${Math.random()}@example.test>\r\nSubject: ${subject}\r\n${rest}`;

async function send(text: string, to: readonly string[] = [JIRO]): Promise<string> {
  const client = await SmtpTestClient.open(site.postfix.smtpPort);
  try {
    assert.match(await client.command("XCLIENT ADDR=192.0.2.7 NAME=far.test LOGIN=taro"), /^220/u);
    await client.command("EHLO far.test");
    const reply = await client.send(TARO, to, text);
    const id = /^250 .*queued as (\S+)$/u.exec(reply)?.[1];
    assert.ok(id !== undefined, reply);
    return id;
  } finally {
    client.close();
  }
}

/** Messages of an account with this subject, once the queue is empty. */
async function received(account: string, subject: string): Promise<readonly string[]> {
  await site.drainQueue();
  return site.withImap(account, "direct", async client => {
    await client.mailboxOpen("INBOX", { readOnly: true });
    const found: string[] = [];
    for await (const one of client.fetch("1:*", { source: true })) {
      const text = one.source?.toString("latin1") ?? "";
      if (text.includes(`\r\nSubject: ${subject}\r\n`)) found.push(text);
    }
    return found;
  });
}

async function only(subject: string, account = JIRO): Promise<string> {
  const found = await received(account, subject);
  assert.equal(found.length, 1, subject);
  return found[0] ?? "";
}

const parse = (text: string): Promise<ParsedMail> => simpleParser(Buffer.from(text, "latin1"));
const count = (text: string, what: string) => text.split(what).length - 1;
const explain = async (id: string) => (await site.sidecar.mairust(["explain", id])).stdout.toString();

const literal = (text: string) => new RegExp(text.replace(/[.*+?^${}()|[\]\\]/gu, "\\$&"), "u");

async function told(id: string, what: RegExp): Promise<void> {
  const deadline = deadlineAfter(WAIT_MS);
  while (!what.test(await explain(id))) {
    assert.ok(deadline.remainingMs() > 0, `${what} in:\n${await explain(id)}`);
    await sleep(50);
  }
  deadline.dispose();
}

test("a plain mail gets the text, and the encoding that it needs for it", async () => {
  const id = await send(mail("footer plain", PLAIN));
  const text = await only("footer plain");
  assert.equal((await parse(text)).text, `Hello.\n${FOOTER.plain}\n`);
  assert.equal(count(text, "Content-Transfer-Encoding: quoted-printable\r\n"), 1);
  assert.equal(count(text, "MIME-Version: 1.0\r\n"), 1);
  await told(id, /appended=\["plain"\]/u);
});

test("plain and HTML get their text once, and attachments are what they were", async () => {
  await send(mail("none mixed", MIXED));
  await send(mail("footer mixed", MIXED));
  const [without, text] = [await only("none mixed"), await only("footer mixed")];
  const parsed = await parse(text);
  assert.ok(parsed.text?.includes(`Hello.\n${FOOTER.plain}\n`), parsed.text);
  assert.equal(count(parsed.html || "", FOOTER.html), 1);
  assert.equal(parsed.attachments[0]?.content.toString("base64"), PDF);
  const attachments = (all: string) => all.slice(all.indexOf("--b\r\nContent-Type: application/pdf"));
  assert.equal(attachments(text) === attachments(without), true, "octet for octet");
  assert.ok(attachments(text).length > PDF.length + RAW.length);
});

test("the archive gets a copy that nobody sees, once, and whom the administrator did not name gets none", async () => {
  const id = await send(mail("bcc footer", PLAIN));
  const [text, copy] = [await only("bcc footer"), await only("bcc footer", ARCHIVE)];
  assert.doesNotMatch(text, /archive@|bcc:/iu);
  assert.ok((await parse(copy)).text?.includes("Example Corp"));
  assert.equal((await received("stranger@example.test", "bcc footer")).length, 0);
  await told(id, /bcc_added=1/u);
  await told(id, /an address is not allowed by the administrator/u);
  await send(mail("bcc there", PLAIN), [JIRO, ARCHIVE]);
  await only("bcc there", ARCHIVE);
});

test("what is signed is left alone: by MIME, and by DKIM as edits.signed_mail says", async () => {
  const signed =
    "MIME-Version: 1.0\r\nContent-Type: multipart/signed; boundary=s\r\n\r\n--s\r\n\r\nHello.\r\n--s\r\nContent-Type: application/pgp-signature\r\n\r\nsig\r\n--s--\r\n";
  const first = await send(mail("footer signed", signed));
  assert.ok((await only("footer signed")).endsWith(signed.slice(signed.indexOf("\r\n\r\n"))));
  await told(first, /not_done=\[\{"why":"it is signed or encrypted"/u);
  const dkim = "DKIM-Signature: v=1; a=rsa-sha256; d=example.test; s=x; h=from:x-footer; bh=AA==; b=AA==\r\n";
  const second = await send(mail("footer field bcc dkim", PLAIN, dkim));
  const text = await only("footer field bcc dkim");
  assert.doesNotMatch(text, /Example Corp|X-Footer/u);
  await only("footer field bcc dkim", ARCHIVE);
  const why = '"why":"it would break the DKIM-Signature of example.test (edits.signed_mail is refuse)"';
  await told(second, literal(`${why},"item":"headers","what":"X-Footer"`));
  // `explain` cuts long values.
  const all = (await site.sidecar.mairust(["explain", second, "-f", "json"])).stdout.toString();
  assert.match(all, /"append_text"/u);
  assert.match(
    await metrics(),
    new RegExp(
      `mairust_plugin_denied_actions_total\\{plugin="${FOOTER_PLUGIN}",item="append_text"\\} [1-9]`,
      "u",
    ),
  );
});

test("mail that was held gets its text and its copy when it is released", async () => {
  await send(mail("hold footer field bcc", PLAIN));
  const held = (await site.sidecar.mairust(["held", "list", "-f", "json"])).stdout.toString();
  const id = /"id":\s*"([0-9a-f-]{36})"/u.exec(held)?.[1];
  assert.ok(id !== undefined, held);
  const released = await site.sidecar.mairust(["held", "release", id]);
  assert.equal(released.code, 0, released.stderr + released.stdout.toString());
  const text = await only("hold footer field bcc");
  assert.equal((await parse(text)).text, `Hello.\n${FOOTER.plain}\n`);
  assert.equal(count(text, "\r\nX-Footer: yes\r\n"), 1);
  await only("hold footer field bcc", ARCHIVE);
});

function metrics(): Promise<string> {
  return new Promise<string>((resolve, reject) => {
    get({ socketPath: site.sidecar.apiSocket, path: "/metrics", agent: false }, answer => {
      const chunks: Buffer[] = [];
      answer.on("data", (chunk: Buffer) => chunks.push(chunk));
      answer.on("end", () => resolve(Buffer.concat(chunks).toString()));
    }).on("error", reject);
  });
}
