import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import Schema from "typebox/schema";
import { packageRoot } from "../../../src/platform/package-root.ts";
import { answerSchema } from "../../../src/wire/answer.ts";
import { hookPayloadSchema } from "../../../src/wire/hook-payload.ts";
import { CONTRACT_FOLDER, contractFiles } from "../../lib/contract-files.ts";

const folder = join(packageRoot(), CONTRACT_FOLDER);

test("plugins/contract holds what the source says; `npm run contract` writes it again", async () => {
  const files = await contractFiles();
  const found = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter(path =>
    path.endsWith(".json"),
  );
  assert.deepEqual(found.sort(), [...files.keys()].sort());
  for (const [path, text] of files) assert.equal(readFileSync(join(folder, path), "utf8"), text, path);
});

test("every sample follows its schema, good answers and those that go too far as well; void ones that the schema can tell do not", async () => {
  const payloads = Schema.Compile(hookPayloadSchema);
  const answers = Schema.Compile(answerSchema);
  for (const [path, text] of await contractFiles()) {
    if (path.includes("payload-")) assert.ok(payloads.Check(JSON.parse(text).payload), path);
    if (/answer-(good|denied|ignored)/.test(path)) {
      const sample = JSON.parse(text);
      assert.ok(answers.Check(JSON.parse(sample.answer)), path);
      assert.equal(sample.expected.result, "ok", path);
      assert.equal(
        sample.expected.denied.length > 0,
        path.includes("-denied") || path.includes("add-bcc"),
        path,
      );
    }
    if (/answer-malformed/.test(path)) assert.equal(JSON.parse(text).expected.result, "malformed", path);
  }
});
