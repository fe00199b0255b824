/** Stage `hooks`: what we hand on cannot be cut in two (quality R7), and canaries read at Dovecot prove that nothing is lost. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { LossRow } from "../../../src/wire/loss-calls.ts";
import { MailDialog } from "../../lib/mail-dialog.ts";
import { inboxOf, type RelaySite, startRelaySite } from "../../lib/relay-site.ts";
import { PASSWORD } from "../../lib/site-imap.ts";
import { SMUGGLED_COMMANDS, SMUGGLED_ENDINGS } from "../../lib/smuggling.ts";
import { supervise, verifyNoLoss } from "../../lib/supervise.ts";

const READER = "reader@example.test";
const SMUGGLED = "smuggled-to@example.test";
/** Whom `SMUGGLED_COMMANDS` names. */
const VICTIM = "victim@example.test";
let site: RelaySite;

before(async () => {
  site = await startRelaySite({
    stages: { "example.test": "hooks" },
    users: [READER, SMUGGLED, VICTIM],
    toml: "[loss_proof]\nallow_kill = true\n",
    postfixSettings: {
      minimal_backoff_time: "1s",
      maximal_backoff_time: "2s",
      queue_run_delay: "1s",
      transport_retry_time: "1s",
    },
  });
});
after(() => site?.stop());

test("no ending that some server takes for the end of DATA makes two messages of one at Dovecot", async () => {
  const dialog = await MailDialog.open(site.sidecar.lmtpPort, "lmtp");
  for (const [i, ending] of SMUGGLED_ENDINGS.entries()) {
    const text = `Subject: ending ${i}\r\n\r\nbody${ending}${SMUGGLED_COMMANDS}`;
    const message = Buffer.from(text, "latin1");
    const [reply] = await dialog.submit({ from: "s@example.org", to: [SMUGGLED], message, queueId: `S${i}` });
    assert.match(reply ?? "", /^250 /u, JSON.stringify(ending));
  }
  dialog.close();
  const found = await site.withImap(SMUGGLED, "dovecot", inboxOf);
  assert.equal(found.length, SMUGGLED_ENDINGS.length);
  for (const [i, one] of found.entries()) {
    const text = one.toString("latin1");
    assert.ok(text.includes(`Subject: ending ${i}\r\n`), text);
    assert.ok(text.includes("MAIL FROM:<smuggled@example.org>") && text.endsWith("forged\r\n"), text);
  }
  assert.equal((await site.withImap(VICTIM, "dovecot", inboxOf)).length, 0);
});

test("verify-no-loss reads its canaries at Dovecot, whatever was killed, and deletes them and nothing else", async () => {
  const before = await MailDialog.open(site.postfix.smtpPort, "smtp");
  const own = Buffer.from(
    `Subject: not a canary\r\nMessage-ID: <own@example.org>\r\n\r\nstays\r\n`,
    "latin1",
  );
  assert.match(
    (await before.submit({ from: "s@example.org", to: [READER], message: own }))[0] ?? "",
    /^250/u,
  );
  before.close();
  const passwordFile = join(site.sidecar.dir, "reader.password");
  writeFileSync(passwordFile, `${PASSWORD}\n`, { mode: 0o600 });
  const stop = supervise(site.sidecar);
  const { code, stdout, stderr } = await verifyNoLoss(site, [
    ...[
      "--to",
      READER,
      "--dovecot",
      `imap://${encodeURIComponent(READER)}@127.0.0.1:${site.dovecot.imapPort}`,
    ],
    ...["--password-file", passwordFile, "--kill", "relay_open,relay_recorded", "--messages", "8", "--yes"],
  ]);
  await stop();
  assert.equal(code, 0, stderr);
  const { steps, total } = JSON.parse(stdout.toString());
  assert.deepEqual(
    steps.map((row: LossRow) => [row.step, row.kills, row.found]),
    [
      ["relay_open", 1, 4],
      ["relay_recorded", 1, 4],
    ],
  );
  assert.deepEqual([total.lost, total.altered], [0, 0], stderr);
  const left = await site.withImap(READER, "dovecot", inboxOf);
  assert.equal(left.length, 1);
  assert.match(left[0]?.toString("latin1") ?? "", /Subject: not a canary/u);
});
