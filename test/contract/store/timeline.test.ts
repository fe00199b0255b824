/** The timeline of one mail under all the ids that it was known by, from a real PostgreSQL. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { messageId } from "../../../src/core/ids.ts";
import { createMessageAdmin } from "../../../src/store/admin.ts";
import { insertEvents } from "../../../src/store/deliver-rows.ts";
import { startTestDatabase, type TestDatabase } from "../../lib/database.ts";

let database: TestDatabase;
before(async () => {
  database = await startTestDatabase();
});
after(() => database.stop());

const ID = (n: number) => messageId(`0190a000-0000-7000-8000-${String(n).padStart(12, "0")}`);

async function record(n: number, queueId: string, at: string, kind: "received" | "deferred" | "stored") {
  const events = [{ at: new Date(at), kind, data: { n } }];
  await insertEvents(database.db, [{ messageId: ID(n), queueId, events }]);
}

test("the milter's part, a try that was deferred and the stored copy are one timeline, by any of their ids", async () => {
  await record(1, "4QA", "2026-11-21T01:00:00Z", "received");
  await record(2, "4QA", "2026-11-21T01:00:01Z", "deferred");
  await record(3, "4QA", "2026-11-21T01:10:00Z", "stored");
  await record(4, "4QB", "2026-11-21T01:00:00Z", "stored");
  await record(5, "", "2026-11-21T01:00:00Z", "stored");
  const admin = createMessageAdmin(database.db);
  for (const id of ["4QA", ID(1), ID(2), ID(3)]) {
    const { events } = await admin.timeline(id);
    assert.deepEqual(
      events.map(({ data }) => data.n),
      [1, 2, 3],
      id,
    );
  }
  assert.deepEqual(
    (await admin.timeline(ID(5))).events.map(({ data }) => data.n),
    [5],
  );
});

test("a short queue id that came again long after is another mail's", async () => {
  await record(11, "A1B2C", "2026-06-01T01:00:00Z", "stored");
  await record(12, "A1B2C", "2026-11-21T01:00:00Z", "stored");
  const { events } = await createMessageAdmin(database.db).timeline(ID(12));
  assert.deepEqual(
    events.map(({ data }) => data.n),
    [12],
  );
});
