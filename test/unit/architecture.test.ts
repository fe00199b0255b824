import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { packageRoot } from "../../src/platform/package-root.ts";
import { checkArchitecture } from "../lib/architecture.ts";

test("the source tree keeps the architecture rules", () => {
  assert.deepEqual(checkArchitecture(join(packageRoot(), "src")), []);
});

/** Each entry breaks one rule: the check must see it. */
const BROKEN: ReadonlyArray<readonly [file: string, code: string, expected: RegExp]> = [
  ["core/a.ts", 'import { x } from "../store/b.ts";', /may not import store\/b\.ts/u],
  ["core/a.ts", 'import { readFile } from "node:fs";', /its folder is pure/u],
  ["protocols/imap/a.ts", 'import { x } from "../lmtp/b.ts";', /may not import protocols\/lmtp/u],
  ["cli/a.ts", 'const x = await import("../services/b.ts");', /may not import services/u],
  ["hooks/a.ts", 'import postgres from "postgres";', /which only store\/db\.ts may/u],
  ["store/a.ts", 'import { x } from "./b";', /without its extension/u],
  ["store/a.ts", "const home = process.env.HOME;", /process\.env/u],
  ["store/a.ts", "process.exit(1);", /process\.exit/u],
  ["store/a.ts", "let counter = 0;", /module-level let/u],
  ["store/a.ts", "setTimeout(() => 0, 5);", /bare timer/u],
  ["store/a.ts", "export default 1;", /default export/u],
  [
    "store/a.ts",
    "// @ts-ignore\nfoo();".replace("// ", "void 0; /* x */ foo('@ts-ignore'); // "),
    /type escape/u,
  ],
  ["elsewhere/a.ts", "export const x = 1;", /no known folder/u],
  ["store/a.ts", `export const x = 1;${"\n".repeat(400)}`, /more than 400/u],
  ["store/a.ts", 'import { a } from "./a.ts";', /import cycle/u],
];

test("checkArchitecture() sees every kind of violation", () => {
  for (const [file, code, expected] of BROKEN) {
    const root = mkdtempSync(join(tmpdir(), "mairust-arch-"));
    try {
      mkdirSync(dirname(join(root, file)), { recursive: true });
      writeFileSync(join(root, file), `/** A module. */\n${code}\n`);
      assert.match(checkArchitecture(root).join("\n"), expected, `${file}: ${code.slice(0, 60)}`);
    } finally {
      rmSync(root, { recursive: true });
    }
  }
});

test("checkArchitecture() wants a module comment", () => {
  const root = mkdtempSync(join(tmpdir(), "mairust-arch-"));
  try {
    mkdirSync(join(root, "core"));
    writeFileSync(join(root, "core/a.ts"), "export const x = 1;\n");
    assert.match(checkArchitecture(root).join("\n"), /module comment/u);
  } finally {
    rmSync(root, { recursive: true });
  }
});
