/** Every template becomes a project whose fixtures pass and which lint has nothing against; nothing is written over. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { packageRoot } from "../../../src/platform/package-root.ts";
import { mairust, temporaryFolder } from "./author.ts";

const dir = temporaryFolder();
const KINDS = ["classify", "tag", "notify", "dlp"];
const SDK = { node: "mairust.mjs", python: "mairust.py" } as const;

for (const lang of ["node", "python"] as const) {
  for (const kind of KINDS) {
    test(`plugin init --lang ${lang} --kind ${kind} makes a project that passes its tests`, async () => {
      const folder = join(dir, `My ${lang} ${kind}`);
      const made = await mairust(["plugin", "init", folder, "--lang", lang, "--kind", kind]);
      assert.equal(made.code, 0, made.err);
      assert.match(made.out, new RegExp(`made plugin com\\.example\\.my-${lang}-${kind} in `, "u"));
      const sdk = join(folder, SDK[lang]);
      assert.deepEqual(readFileSync(sdk), readFileSync(join(packageRoot(), "plugins/sdk", lang, SDK[lang])));
      const tested = await mairust(["plugin", "test", folder]);
      assert.equal(tested.code, 0, tested.out + tested.err);
      const linted = await mairust(["plugin", "lint", folder]);
      assert.equal(linted.code, 0, linted.out);
      // All that a review warns of has its note.
      assert.doesNotMatch(linted.out, /say why|does nothing|is not asked for/u);
      assert.doesNotMatch(
        readFileSync(join(folder, "README.md"), "utf8"),
        /Name\n|Description\.|Program|\| SDK/u,
      );
    });
  }
}

test("plugin init takes an id, and writes nothing with --dry-run", async () => {
  const folder = join(dir, "own");
  const args = ["plugin", "init", folder, "--lang", "node", "--kind", "tag", "--id", "org.example.own"];
  const dry = await mairust([...args, "--dry-run"]);
  assert.equal(dry.code, 0, dry.err);
  assert.match(dry.out, /would make plugin org\.example\.own/u);
  assert.ok(!existsSync(folder));
  const made = JSON.parse((await mairust([...args, "-f", "json"])).out);
  assert.deepEqual(
    [...made.files].sort(),
    readdirSync(folder, { recursive: true })
      .filter(name => name !== "fixtures")
      .sort(),
  );
  assert.match(
    readFileSync(join(folder, "plugin.toml"), "utf8"),
    /^id = "org\.example\.own"\nname = "own"$/mu,
  );
});

test("plugin init refuses what it cannot make, and says what it can", async () => {
  const init = (...args: string[]) => mairust(["plugin", "init", ...args]);
  const go = await init(join(dir, "x"), "--lang", "go", "--kind", "tag");
  assert.equal(go.code, 64);
  assert.match(go.err, /in go: it is not built in this version; there are node, python/u);
  assert.match((await init(join(dir, "x"), "--lang", "cobol", "--kind", "tag")).err, /no language "cobol"/u);
  assert.match(
    (await init(join(dir, "x"), "--lang", "node", "--kind", "spam")).err,
    /no kind "spam"; there are classify/u,
  );
  assert.match((await init(join(dir, "x"), "--lang", "node")).err, /--kind is missing: classify \(/u);
  const reserved = await init(join(dir, "x"), "--lang", "node", "--kind", "tag", "--id", "mairust.x");
  assert.equal(reserved.code, 64);
  assert.ok(!existsSync(join(dir, "x")));
  const full = join(dir, "full");
  mkdirSync(full);
  writeFileSync(join(full, "mine"), "mine");
  const refused = await init(full, "--lang", "node", "--kind", "tag");
  assert.equal(refused.code, 73);
  assert.match(refused.err, /it is not empty \(mine\)/u);
  assert.deepEqual(readdirSync(full), ["mine"]);
});
