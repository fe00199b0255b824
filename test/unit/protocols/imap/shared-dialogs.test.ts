/**
 * The dialogs that every IMAP server must keep to, at our server over a memory store, as an ordinary client sees it. Dovecot is asked the
 * same in `test/system/patient/imap-dialogs.test.ts`.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import {
  FLAG_ANSWERED,
  FLAG_DRAFT,
  FLAG_FLAGGED,
  FLAG_SEEN,
  type FlagSet,
} from "../../../../src/core/ports/store.ts";
import { packageRoot } from "../../../../src/platform/package-root.ts";
import { capabilities } from "../../../../src/protocols/imap/capability.ts";
import { DIALOG_MAIL, type DialogMail, LATER } from "../../../lib/dialog-mail.ts";
import { namedDifferences, type OtherHand, playImapDialog, readDialogs } from "../../../lib/imap-dialog.ts";
import { DIALOG_DIFFERS } from "../../../lib/imap-dialog-differs.ts";
import { startTestServer } from "./harness.ts";
import type { MemoryMailbox } from "./memory-store.ts";

const CLIENT = { kind: "client" } as const;
const SYSTEM: Readonly<Record<string, number>> = {
  "\\Seen": FLAG_SEEN,
  "\\Answered": FLAG_ANSWERED,
  "\\Flagged": FLAG_FLAGGED,
  "\\Draft": FLAG_DRAFT,
};
/** Work of the database, which the memory store does not do. */
const NOT_IN_MEMORY: ReadonlySet<string> = new Set(["SORT", "THREAD=REFERENCES", "PREVIEW"]);

const dialogs = readDialogs();
const announced = capabilities({ account: undefined, secure: true, profile: CLIENT }).split(" ");

function flagSet(names: readonly string[]): FlagSet {
  return {
    system: names.reduce((bits, name) => bits | (SYSTEM[name] ?? 0), 0),
    keywords: names.filter(name => !name.startsWith("\\")),
  };
}

function deliver(mailbox: MemoryMailbox, { text, flags, date }: DialogMail): void {
  mailbox.deliver(text, { flags: flagSet(flags), internalDate: date });
}

function otherHand(inbox: MemoryMailbox): OtherHand {
  return {
    deliver: async () => deliver(inbox, LATER),
    flag: async (uid, flag) => {
      const had = inbox.stored.find(({ row }) => row.uid === uid)?.flags ?? flagSet([]);
      const { system, keywords } = flagSet([flag]);
      inbox.setFlags(uid, { system: had.system | system, keywords: [...had.keywords, ...keywords] });
    },
    expunge: async uid => inbox.expunge(uid),
  };
}

for (const dialog of dialogs) {
  const { name, needs, ways } = dialog;
  const isHere = needs.every(word => announced.includes(word) && !NOT_IN_MEMORY.has(word));
  if (!isHere || ways?.includes("direct") === false) continue;
  test(`the server keeps to ${name}`, async () => {
    const server = await startTestServer({ profile: CLIENT });
    try {
      server.store.add("Archive", "\\Archive");
      for (const mail of DIALOG_MAIL) deliver(server.store.inbox, mail);
      await playImapDialog(dialog, "direct", await server.user(), otherHand(server.store.inbox));
    } finally {
      await server.close();
    }
  });
}

test("a dialog needs only capabilities that the server knows, and names only differences that are listed, each of them", () => {
  const source = readFileSync(join(packageRoot(), "src/protocols/imap/capability.ts"), "utf8");
  const known = new Set([...source.matchAll(/\{ word: "([^"]+)"/gu)].map(([, word]) => word));
  assert.deepEqual(
    dialogs.flatMap(({ needs }) => needs).filter(word => !known.has(word)),
    [],
  );
  assert.deepEqual([...namedDifferences(dialogs)].sort(), Object.keys(DIALOG_DIFFERS).sort());
});
