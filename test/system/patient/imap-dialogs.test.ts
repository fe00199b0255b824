/**
 * One set of dialogs at three servers: our service as a client sees it, a Dovecot with a Maildir, and our service through a Dovecot. What
 * one of them answers otherwise has its reason in `test/lib/imap-dialog-differs.ts`.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { type DialogSite, startDialogSite } from "../../lib/dialog-site.ts";
import { playImapDialog, readDialogs } from "../../lib/imap-dialog.ts";
import { DIALOG_WAYS } from "../../lib/imap-dialog-differs.ts";

const dialogs = readDialogs();
const accountOf = (name: string) => `${name.replace(/\W/gu, "-")}@example.test`;
/** Dialogs that were played, by way. */
const played = new Map<string, number>(DIALOG_WAYS.map(way => [way, 0]));

let site: DialogSite;
before(async () => {
  site = await startDialogSite(
    DIALOG_WAYS.flatMap(way => dialogs.map(({ name }) => accountOf(`${way}.${name}`))),
  );
});
after(() => site?.stop());

for (const dialog of dialogs) {
  for (const way of dialog.ways ?? DIALOG_WAYS) {
    test(`${dialog.name} at ${way}`, async t => {
      const account = accountOf(`${way}.${dialog.name}`);
      const { client, announced } = await site.open(way, account);
      try {
        const missing = dialog.needs.filter(word => !announced.includes(word));
        if (missing.length > 0) return t.diagnostic(`not announced there: ${missing.join(" ")}`);
        await playImapDialog(dialog, way, client, site.other(way, account));
        played.set(way, (played.get(way) ?? 0) + 1);
      } finally {
        client.close();
      }
    });
  }
}

test("what needs nothing was played everywhere", () => {
  for (const way of DIALOG_WAYS) {
    const plain = dialogs.filter(({ needs, ways }) => needs.length === 0 && (ways?.includes(way) ?? true));
    assert.ok((played.get(way) ?? 0) >= plain.length, way);
  }
});
