import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { InvalidState } from "../../../../src/core/errors.ts";
import { mailboxId } from "../../../../src/core/ids.ts";
import type { MailboxSnapshot } from "../../../../src/core/ports/mailboxes.ts";
import type { FlagSet } from "../../../../src/core/ports/store.ts";
import { compareViews } from "../../../../src/protocols/imap/view.ts";

const FLAG_SETS: readonly FlagSet[] = [0, 1, 2, 3].map(system => ({ system, keywords: [] }));

function snapshot(messages: ReadonlyArray<readonly [uid: number, flagId: number]>): MailboxSnapshot {
  return {
    mailboxId: mailboxId(1),
    uidValidity: 1,
    uidNext: 1000,
    highestModseq: 1,
    uids: Uint32Array.from(messages, ([uid]) => uid),
    flagIds: Uint16Array.from(messages, ([, flagId]) => flagId),
    flagSets: FLAG_SETS,
  };
}

test("a client that applies what is announced holds the new state", () => {
  const flagId = fc.nat(3);
  fc.assert(
    fc.property(
      fc.array(fc.tuple(flagId, fc.boolean(), flagId), { maxLength: 20 }),
      fc.array(flagId, { maxLength: 5 }),
      (known, added) => {
        const old = snapshot(known.map(([flags], i) => [i + 1, flags]));
        const kept = known.flatMap(([, stays, flags], i) => (stays ? [[i + 1, flags] as const] : []));
        const next = snapshot([...kept, ...added.map((flags, i) => [100 + i, flags] as const)]);
        const change = compareViews(old, next);
        const client = Array.from(old.uids, (uid, i) => [uid, old.flagIds[i]]);
        for (const number of change.expunged) {
          assert.ok(number >= 1 && number <= client.length);
          client.splice(number - 1, 1);
        }
        assert.equal(client.length + change.added, next.uids.length);
        for (let i = client.length; i < next.uids.length; i += 1)
          client.push([next.uids[i], next.flagIds[i]]);
        for (const index of change.flagged) client[index] = [next.uids[index], next.flagIds[index]];
        assert.deepEqual(
          client,
          Array.from(next.uids, (uid, i) => [uid, next.flagIds[i]]),
        );
      },
    ),
  );
});

test("compareViews() refuses a message that appears below a known UID", () => {
  assert.throws(
    () =>
      compareViews(
        snapshot([[5, 0]]),
        snapshot([
          [4, 0],
          [5, 0],
        ]),
      ),
    InvalidState,
  );
});
