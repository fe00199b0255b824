/** Files that commands read: what cannot be read is exit code 66 and named, never a bug of ours. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { openInput } from "../../../src/cli/input-file.ts";

const root = mkdtempSync(join(tmpdir(), "mr-input-"));
after(() => rmSync(root, { recursive: true, force: true }));

test("a folder and a file that is not there are told before anything is read", async () => {
  const folder = { exitCode: 66, message: `cannot read ${root} (it is a folder)` };
  await assert.rejects(openInput(root), folder);
  const missing = join(root, "none");
  await assert.rejects(openInput(missing), { exitCode: 66, message: `cannot read ${missing} (ENOENT)` });
});

test("a file is read to its end", async () => {
  const file = join(root, "a.eml");
  writeFileSync(file, "Subject: x\n\n");
  assert.equal(Buffer.concat(await (await openInput(file)).toArray()).toString(), "Subject: x\n\n");
});
