/** The sample that asks a language model, with the fake model that comes with it: its fixtures and its evaluation. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { execa } from "execa";
import { injections } from "../../lib/injections.ts";
import { askWorker, assertVerdict } from "../../lib/plugin-answers.ts";
import { payloadOf, pluginFolder, readFixtures, readManifest } from "../../lib/plugin-fixtures.ts";

const NAME = "python-ai-classifier";
const manifest = await readManifest(NAME);

/** `fake_model.py` on a free port. */
async function withFakeModel(work: (url: string) => Promise<void>): Promise<void> {
  const child = spawn("/usr/bin/python3", ["fake_model.py", "0"], {
    cwd: pluginFolder(NAME),
    env: {},
    stdio: ["ignore", "pipe", "inherit"],
  });
  try {
    const [chunk] = await once(child.stdout, "data");
    await work(`http://127.0.0.1:${String(chunk).trim()}/v1`);
  } finally {
    const exit = once(child, "exit");
    child.kill("SIGKILL");
    await exit;
  }
}

test("every fixture gets its verdict from the fake model, and the evaluation counts", async () => {
  await withFakeModel(async url => {
    const fixtures = await readFixtures(NAME);
    assert.ok(fixtures.length >= 5);
    const payloads = await Promise.all(
      fixtures.map(async fixture => {
        const made = await payloadOf(fixture, manifest);
        return { ...made, settings: { ...(made.settings as object), base_url: url } };
      }),
    );
    const { answers } = await askWorker(NAME, manifest, payloads, {});
    for (const [i, { name, expect }] of fixtures.entries()) {
      const answer = answers[i] ?? assert.fail();
      assert.doesNotThrow(() => assertVerdict(answer, expect), `${name}: ${JSON.stringify(answer)}`);
    }
    const { stdout } = await execa("/usr/bin/python3", ["evaluate.py", url, "fake"], {
      cwd: pluginFolder(NAME),
    });
    const { labelled, right, injections: tried, errors } = JSON.parse(stdout);
    assert.deepEqual([labelled, right, tried, errors], [12, 12, injections.length, 0]);
  });
});
