/** The sample that holds mail by the names of attachments, run as its manifest says. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { askWorker, assertVerdict } from "../../lib/plugin-answers.ts";
import { payloadOf, readFixtures, readManifest } from "../../lib/plugin-fixtures.ts";

const NAME = "hold-executables";

test(`${NAME}: every fixture gets its verdict`, async () => {
  const manifest = await readManifest(NAME);
  const fixtures = await readFixtures(NAME);
  assert.ok(fixtures.length >= 7);
  const payloads = await Promise.all(fixtures.map(fixture => payloadOf(fixture, manifest)));
  const { answers } = await askWorker(NAME, manifest, payloads);
  for (const [i, { name, expect }] of fixtures.entries()) {
    const answer = answers[i];
    assert.ok(answer !== undefined, name);
    assertVerdict(answer, expect);
    assert.equal(answer.call_id, payloads[i]?.call_id, name);
  }
});

test(`${NAME}: it asks for the names of attachments and for nothing else`, async () => {
  const { permissions } = await readManifest(NAME);
  assert.deepEqual({ ...permissions }, { read_attachments: "metadata", decide: ["hold"] });
});
