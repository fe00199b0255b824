/**
 * Quality R7: only CRLF "." CRLF ends DATA. Through a raw socket at our server, each ending cut at every place, with a
 * whole forged transaction behind it; and end to end through a real Postfix, which normalises line ends by itself.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { ImapTestClient, readFetch } from "../../lib/imap-client.ts";
import { type MailSite, startMailSite } from "../../lib/mail-site.ts";
import { RawMail } from "../../lib/raw-mail.ts";
import { SMUGGLED_COMMANDS, SMUGGLED_ENDINGS } from "../../lib/smuggling.ts";

const VICTIM = "victim@example.test";
let site: MailSite;

before(async () => {
  site = await startMailSite({ users: [VICTIM], logLevel: "warn" });
});
after(() => site?.stop());

/** Messages of a user as stored, without what delivery put in front; empty when there is no such account yet. */
async function stored(user: string): Promise<readonly string[]> {
  const client = new ImapTestClient(site.sidecar.imapPort);
  await client.line();
  const plain = Buffer.from(`${user}\0dovecot\0${site.sidecar.masterPassword}`).toString("base64");
  const login = await client.command(`AUTHENTICATE PLAIN ${plain}`);
  if (!login.at(-1)?.startsWith("OK")) return [];
  await client.command("SELECT INBOX");
  const answers = await client.command("UID FETCH 1:* BODY.PEEK[]");
  client.close();
  return answers
    .filter(answer => /^\* \d+ FETCH/u.test(answer))
    .map(answer => {
      const value = readFetch(answer).get("BODY[]");
      return value !== null && value !== undefined && "octets" in value
        ? value.octets.toString("latin1")
        : "";
    });
}

async function transaction(peer: RawMail, user: string, queueId: string): Promise<void> {
  assert.match(await peer.command(`XFORWARD IDENT=${queueId}`), /^250/u);
  assert.match(await peer.command("MAIL FROM:<sender@example.org>"), /^250/u);
  assert.match(await peer.command(`RCPT TO:<${user}>`), /^250/u);
  assert.match(await peer.command("DATA"), /^354/u);
}

test("at our server every such ending is content, wherever it is cut, and is stored as it was sent", async () => {
  const user = "direct@example.test";
  const sent: string[] = [];
  const peer = await RawMail.open(site.sidecar.lmtpPort);
  await peer.command("LHLO test.example");
  for (const [index, ending] of SMUGGLED_ENDINGS.entries()) {
    for (let cut = 0; cut <= ending.length; cut++) {
      const message = `Subject: ${index}-${cut}\r\n\r\nbody${ending}${SMUGGLED_COMMANDS}`;
      await transaction(peer, user, `D${index}x${cut}`);
      const at = message.indexOf(ending) + cut;
      await peer.send(message.slice(0, at));
      await new Promise(resolve => setImmediate(resolve));
      await peer.send(`${message.slice(at)}.\r\nNOOP\r\n`);
      assert.match(await peer.reply(), /^250 2\.0\.0 stored/u, `${JSON.stringify(ending)} cut at ${cut}`);
      assert.equal(await peer.reply(), "250 2.0.0 ok", "the NOOP behind it is the next command");
      // A dot after CRLF is a stuffed one: it goes, nothing else does.
      sent.push(message.replace(/(^|\r\n)\./gu, "$1"));
    }
  }
  peer.close();
  const read = await stored(user);
  assert.equal(read.length, sent.length);
  for (const [index, message] of sent.entries())
    assert.ok(read[index]?.endsWith(`\r\n${message}`), `message ${index}`);
  assert.deepEqual(await stored(VICTIM), []);
});

/** Send one message with an ending inside to Postfix. @returns what Postfix answered to all of it */
async function throughPostfix(ending: string, index: number): Promise<readonly string[]> {
  const peer = await RawMail.open(site.postfix.smtpPort);
  await peer.command("EHLO test.example");
  await peer.command("MAIL FROM:<sender@example.org>");
  await peer.command("RCPT TO:<postfix@example.test>");
  await peer.command("DATA");
  await peer.send(`Subject: case ${index}\r\n\r\nbody${ending}tail ${index}\r\n.\r\nQUIT\r\n`);
  const replies = await peer.rest();
  peer.close();
  return replies;
}

test("end to end each message that Postfix queued is stored once, whatever it made of its line ends", async () => {
  const queued: string[] = [];
  for (const [index, ending] of SMUGGLED_ENDINGS.entries()) {
    for (const reply of await throughPostfix(ending, index)) {
      const id = /^250 2\.0\.0 Ok: queued as (\S+)/u.exec(reply)?.[1];
      if (id !== undefined) queued.push(id);
    }
  }
  await site.drainQueue();
  const read = await stored("postfix@example.test");
  const ids = read.map(message =>
    /\bid ([0-9A-Za-z]+);?\r\n\tfor|\bwith E?SMTP id (\S+)/u
      .exec(message)
      ?.slice(1)
      .find(id => id !== undefined),
  );
  assert.equal(read.length, queued.length);
  assert.deepEqual(new Set(ids), new Set(queued));
  for (const [index, ending] of SMUGGLED_ENDINGS.entries()) {
    const message = read.find(text => text.includes(`Subject: case ${index}\r\n`)) ?? "";
    assert.ok(message.includes("body"), JSON.stringify(ending));
    // Postfix writes each line with CRLF; what it leaves inside a line is ours to keep.
    assert.ok(!/(?<!\r)\n/u.test(message), `a bare LF came through Postfix: ${JSON.stringify(ending)}`);
  }
});

/** A CR before CRLF is taken off by Postfix, which no setting changes. */
const POSTFIX_TAKES_CR_OFF: readonly string[] = ["\r\n.\r\r\n", "\r\r\n.\r\r\n"];
/** Endings that Postfix 3.7 by default takes for the end of DATA: what is behind them are commands to it, before we see any. */
const POSTFIX_ENDS_AT: readonly string[] = [
  ...POSTFIX_TAKES_CR_OFF,
  "\n.\n",
  "\n.\r\n",
  "\r\n.\n",
  "\r.\n",
  "\0\r\n.\n",
  "\n\n.\r\n",
];

/** Send a forged transaction behind each ending to Postfix. @returns the endings that made two messages of one */
async function splitByPostfix(endings: readonly string[]): Promise<readonly string[]> {
  const split: string[] = [];
  for (const ending of endings) {
    const peer = await RawMail.open(site.postfix.smtpPort);
    await peer.command("EHLO test.example");
    await peer.command("MAIL FROM:<sender@example.org>");
    await peer.command("RCPT TO:<forged@example.test>");
    await peer.command("DATA");
    await peer.send(`Subject: host\r\n\r\nbody${ending}${SMUGGLED_COMMANDS}.\r\nQUIT\r\n`);
    const replies = await peer.rest();
    peer.close();
    if (replies.filter(reply => reply.includes("queued as")).length > 1) split.push(ending);
  }
  return split;
}

test("a forged transaction reaches a mailbox only where Postfix itself ended the message", async () => {
  const split = await splitByPostfix(SMUGGLED_ENDINGS);
  await site.drainQueue();
  assert.equal((await stored("forged@example.test")).length, SMUGGLED_ENDINGS.length);
  assert.equal((await stored(VICTIM)).length, split.length);
  assert.deepEqual(
    split.filter(ending => !POSTFIX_ENDS_AT.includes(ending)),
    [],
  );
});

/** Longest a reload of Postfix takes to reach its processes. */
const RELOAD_MS = 60_000;

test("with smtpd_forbid_bare_newline Postfix lets no such ending through", async () => {
  const { postfix } = site;
  await postfix.run("postconf", [
    "-e",
    "smtpd_forbid_bare_newline=yes",
    "smtpd_forbid_bare_newline_exclusions=",
  ]);
  await postfix.run("postfix", ["reload"]);
  const until = performance.now() + RELOAD_MS;
  while ((await splitByPostfix(["\n.\n"])).length > 0) {
    assert.ok(performance.now() < until, "the setting has no effect");
  }
  assert.deepEqual(
    (await splitByPostfix(SMUGGLED_ENDINGS)).filter(ending => !POSTFIX_TAKES_CR_OFF.includes(ending)),
    [],
  );
  await site.drainQueue();
});
