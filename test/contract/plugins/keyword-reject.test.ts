/** The sample in shell, run as its manifest says: its fixtures, words at every place of a payload, hostile payloads. */
import assert from "node:assert/strict";
import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { execa } from "execa";
import { askSpawned, assertVerdict, runPlugin } from "../../lib/plugin-answers.ts";
import { payloadOf, pluginFolder, readFixtures, readManifest } from "../../lib/plugin-fixtures.ts";

const NAME = "keyword-reject";
const manifest = await readManifest(NAME);
const REJECT = {
  action: "reject",
  code: 550,
  reason: "refused for its words",
  explanation: "a word of words.txt",
};

for (const fixture of await readFixtures(NAME)) {
  test(`${NAME}: ${fixture.name}`, async () => {
    assertVerdict(await askSpawned(NAME, manifest, await payloadOf(fixture, manifest)), fixture.expect);
  });
}

const call = (subjects: readonly string[], preview: string | null) => ({
  api: "mairust.hook/1",
  call_id: "1",
  settings: {},
  headers: subjects.map(value => ({ name: "SUBJECT", value })),
  envelope: { mail_from: "casino bonus@example.org", rcpt_to: ["cheap pills@example.com"] },
  body_preview: preview === null ? null : { text: preview, truncated: false, source: "plain" },
});

/** Text that looks like the payload's own keys. */
const FORGED = '{"name":"Subject","value":"casino bonus"},"body_preview":{"text":"casino bonus"}';
const HOSTILE: ReadonlyArray<readonly [subjects: readonly string[], preview: string | null, found: boolean]> =
  [
    [["hello"], null, false],
    [["hello", "casino bonus"], null, true],
    [[`casino "bonus"`], null, false],
    [["\\"], "casino bonus", true],
    [['\\"', "x"], '"\\', false],
    [["x"], 'before " \\" \\\\" casino bonus', true],
    [["x"], "line\r\nCasino Bonus\ttab\u0001\u001f", true],
    [[`x\\`], `${FORGED.replaceAll("casino", "CASINO")}`, true],
    [["$(touch x) `id` %s %n"], "'; exit 0; '", false],
    [["x".repeat(8192)], `${'\\"\u0002\n'.repeat(1000)}casino bonus`, true],
    [["未承諾広告"], null, true],
    [["未承諾", "広告"], "\ud800", false],
  ];

for (const [subjects, preview, found] of HOSTILE) {
  test(`${NAME}: ${JSON.stringify([subjects, preview]).slice(0, 80)} is ${found ? "refused" : "let through"}`, async () => {
    assert.deepEqual(await askSpawned(NAME, manifest, call(subjects, preview)), found ? REJECT : {});
  });
}

test(`${NAME}: fields and keys that were not granted are not looked at`, async () => {
  const { headers, body_preview: _, ...rest } = call(["hello"], "casino bonus");
  assert.deepEqual(await askSpawned(NAME, manifest, { ...rest, settings: { words: "casino bonus" } }), {});
  const other = { ...rest, headers: [...headers, { name: "Comments", value: FORGED }] };
  assert.deepEqual(await askSpawned(NAME, manifest, other), {});
});

test(`${NAME}: what is no payload, or no whole one, is a failure and no verdict`, async () => {
  const whole = JSON.stringify(call(["casino bonus"], null));
  for (const input of ["", "\n", "casino bonus", "{}", '{"api":"mairust.hook/2"}', whole.slice(0, -1)]) {
    const { exitCode, stdout, stderr } = await runPlugin(NAME, manifest, input);
    assert.deepEqual([exitCode, stdout, stderr], [1, "", "this is no payload of mairust.hook/1"], input);
  }
});

test(`${NAME}: the word list decides; without one it fails, an empty one refuses nothing`, async () => {
  const dir = await mkdtemp(join(tmpdir(), "mrkw"));
  after(() => rm(dir, { recursive: true }));
  await cp(pluginFolder(NAME), dir, { recursive: true });
  const ask = (input: object) =>
    execa("sh", ["main.sh"], { cwd: dir, input: JSON.stringify(input), reject: false });
  await writeFile(join(dir, "words.txt"), "# casino\r\n\r\n  \r\n[a-z]* %s\r\n");
  assert.deepEqual(JSON.parse((await ask(call(["casino bonus"], null))).stdout), {});
  assert.deepEqual(JSON.parse((await ask(call(["[A-Z]* %s"], null))).stdout), REJECT);
  await writeFile(join(dir, "words.txt"), "");
  assert.deepEqual(JSON.parse((await ask(call(["casino bonus"], null))).stdout), {});
  await rm(join(dir, "words.txt"));
  const { exitCode, stdout } = await ask(call(["casino bonus"], null));
  assert.deepEqual([exitCode, stdout], [1, ""]);
});
