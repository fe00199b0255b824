/** STORE for clients that follow MODSEQs (RFC 7162 §3.1.3): each learns the MODSEQ of what it changed, silent ones too. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { ImapTestClient } from "../../lib/imap-client.ts";
import { type ImapService, PASSWORD, startImapService, USER } from "./service.ts";

let service: ImapService;
/** Runs once, when a change of flags is stored and its client not yet answered. */
let afterwards: (() => Promise<void>) | undefined;

before(async () => {
  service = await startImapService({
    writable: true,
    writer: own => ({
      async change(change) {
        const result = await own.change(change);
        const work = afterwards;
        afterwards = undefined;
        await work?.();
        return result;
      },
    }),
  });
  await service.deliver("Subject: x\r\n\r\n", 4);
});
after(() => service?.stop());

async function selected(): Promise<ImapTestClient> {
  const client = await service.client();
  await client.command(`LOGIN ${USER} "${PASSWORD}"`);
  await client.command("SELECT INBOX");
  return client;
}

const modseqs = async () =>
  (await service.db.query<{ m: number }>`select modseq as m from entries order by uid`).map(row => row.m);

/** `number MODSEQ`, of all FETCH answers. */
const told = (answers: readonly string[]) =>
  answers.flatMap(line => {
    const [, number, modseq] = /^\* (\d+) FETCH \(.*MODSEQ \((\d+)\)\)$/u.exec(line) ?? [];
    return number === undefined ? [] : [`${number} ${modseq}`];
  });

test("UNCHANGEDSINCE is the moment from which a client is told MODSEQs", async () => {
  const client = await selected();
  const before = await client.command("STORE 1 +FLAGS (\\Seen)");
  assert.deepEqual(told(before), []);
  const answers = await client.command("STORE 2 (UNCHANGEDSINCE 1000000) +FLAGS (\\Seen)");
  assert.match(answers[0] ?? "", /^\* OK \[HIGHESTMODSEQ \d+\]/u);
  assert.deepEqual(told(answers), [`2 ${(await modseqs())[1]}`]);
});

test("a silent client is told the MODSEQ alone, of what changed alone, and one for all messages of a command", async () => {
  const client = await selected();
  await client.command("ENABLE CONDSTORE");
  await client.command("STORE 1:* FLAGS.SILENT ()");
  await client.command("STORE 2 +FLAGS.SILENT (\\Flagged)");
  const answers = await client.command("STORE 1:3 +FLAGS.SILENT (\\Flagged)");
  const now = await modseqs();
  assert.deepEqual(told(answers), [`1 ${now[0]}`, `3 ${now[2]}`]);
  assert.equal(now[0], now[2]);
  for (const answer of answers.slice(0, -1)) assert.doesNotMatch(answer, /FLAGS/u);
  assert.deepEqual(await client.command("NOOP"), ["OK NOOP completed"]);
});

test("a conditional STORE by the MODSEQ that was told holds, by an older one it does not", async () => {
  const [client, other] = [await selected(), await selected()];
  const [first] = told(await client.command("STORE 4 (UNCHANGEDSINCE 1000000) FLAGS (\\Seen)"));
  const known = first?.split(" ")[1];
  await other.command("STORE 4 +FLAGS.SILENT (theirs)");
  const lost = await client.command(`STORE 4 (UNCHANGEDSINCE ${known}) FLAGS.SILENT (\\Draft)`);
  assert.match(lost.at(-1) ?? "", /^OK \[MODIFIED 4\]/u);
  // What the other one did is told with its MODSEQ: the next try can succeed.
  const [seen] = told(lost);
  assert.equal(seen, `4 ${(await modseqs())[3]}`);
  const again = await client.command(
    `STORE 4 (UNCHANGEDSINCE ${seen?.split(" ")[1]}) FLAGS.SILENT (\\Draft)`,
  );
  assert.match(again.at(-1) ?? "", /^OK STORE/u);
});

test("a silent client is told when its change was taken back before it was answered", async () => {
  const [client, other] = [await selected(), await selected()];
  for (const enabled of [false, true]) {
    if (enabled) await client.command("ENABLE CONDSTORE");
    await client.command("STORE 1:2 FLAGS.SILENT (\\Flagged)");
    afterwards = async () => {
      await other.command("STORE 1 +FLAGS.SILENT (\\Flagged)");
    };
    const answers = await client.command("STORE 1:2 -FLAGS.SILENT (\\Flagged)");
    assert.match(answers[0] ?? "", /^\* 1 FETCH \(.*FLAGS \(\\Flagged\)/u);
    assert.deepEqual(told(answers).length, enabled ? 2 : 0);
    assert.equal(answers.length, enabled ? 3 : 2);
  }
});

test("a silent client whose condition did not hold is told why, also when it was told of no change", async () => {
  const [client, other] = [await selected(), await selected()];
  const known = told(await client.command("FETCH 2 (FLAGS MODSEQ)"))[0]?.split(" ")[1];
  await other.command("STORE 2 +FLAGS.SILENT (brief)");
  await other.command("STORE 2 -FLAGS.SILENT (brief)");
  await client.command("NOOP");
  const lost = await client.command(`STORE 2 (UNCHANGEDSINCE ${known}) +FLAGS.SILENT (\\Draft)`);
  assert.match(lost.at(-1) ?? "", /^OK \[MODIFIED 2\]/u);
  assert.deepEqual(told(lost), [`2 ${(await modseqs())[1]}`]);
});

test("while an expunge is held back, no answer lets a client pass over it", async () => {
  const client = await selected();
  const opened = await client.command("SELECT INBOX (CONDSTORE)");
  const highest = opened.find(line => line.includes("HIGHESTMODSEQ"))?.split("] ")[0];
  assert.ok(highest);
  await service.db.run`delete from entries where uid = (select max(uid) from entries)`;
  for (const command of ["STORE 1 +FLAGS.SILENT (later)", "FETCH 1 (FLAGS)", "SEARCH MODSEQ 1"]) {
    const answers = await client.command(command);
    assert.ok(
      answers.slice(0, -2).some(line => line.includes("MODSEQ")),
      command,
    );
    assert.equal(answers.at(-2)?.split("] ")[0], highest, command);
  }
  assert.match((await client.command("NOOP"))[0] ?? "", /EXPUNGE$/u);
  assert.ok(!(await client.command("FETCH 1 (FLAGS)")).some(line => line.includes("HIGHESTMODSEQ")));
});

/** Changes the flags of message 3, and changes them back. */
async function thereAndBack(client: ImapTestClient): Promise<void> {
  await client.command("STORE 3 +FLAGS (there-and-back)");
  await client.command("STORE 3 -FLAGS (there-and-back)");
}

test("a conditional STORE holds when all that others did was taken back, and the client asked for news", async () => {
  const [client, other] = [await selected(), await selected()];
  await client.command("ENABLE CONDSTORE");
  await thereAndBack(other);
  const [news] = told(await client.command("NOOP"));
  assert.equal(news, `3 ${(await modseqs())[2]}`);
  const known = news?.split(" ")[1];
  const answers = await client.command(`STORE 3 (UNCHANGEDSINCE ${known}) +FLAGS.SILENT (\\Answered)`);
  assert.equal(answers.at(-1), "OK STORE completed");
});

for (const silent of ["", ".SILENT"]) {
  test(`a client that stores${silent} is told the MODSEQ of another message whose change was taken back meanwhile`, async () => {
    const [client, other] = [await selected(), await selected()];
    await client.command("ENABLE CONDSTORE");
    afterwards = () => thereAndBack(other);
    const answers = await client.command(`STORE 1 +FLAGS${silent} (own${silent.length})`);
    const now = await modseqs();
    assert.deepEqual(told(answers).sort(), [`1 ${now[0]}`, `3 ${now[2]}`]);
    assert.deepEqual(await client.command("NOOP"), ["OK NOOP completed"]);
  });
}
