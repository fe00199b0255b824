/** STORE for clients that follow MODSEQs (RFC 7162 §3.1.3): each learns the MODSEQ of what it changed, silent ones too. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { ImapTestClient } from "../../lib/imap-client.ts";
import { type ImapService, PASSWORD, startImapService, USER } from "./service.ts";

let service: ImapService;
before(async () => {
  service = await startImapService({ writable: true });
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
