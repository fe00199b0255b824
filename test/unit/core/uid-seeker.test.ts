import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { indexOfUid, UidSeeker } from "../../../src/core/mailbox-snapshot.ts";
import { snapshotOf } from "../../lib/snapshots.ts";

test("UidSeeker finds what indexOfUid() finds, within a chunk and beyond", () => {
  const view = snapshotOf(Array.from({ length: 15_000 }, (_, i) => ({ uid: 3 * i + 2 })));
  assert.ok(view.chunks.length > 2, "the test needs chunks");
  const gap = fc.oneof(fc.nat({ max: 3 }), fc.nat({ max: 100 }), fc.nat({ max: 20_000 }));
  fc.assert(
    fc.property(fc.array(gap, { maxLength: 30 }), gaps => {
      const walk = new UidSeeker(view);
      let uid = 0;
      for (const each of gaps) {
        uid += each;
        assert.equal(walk.index(uid), indexOfUid(view, uid), `${uid}`);
      }
    }),
  );
  assert.equal(new UidSeeker(snapshotOf([])).index(1), 0);
});
