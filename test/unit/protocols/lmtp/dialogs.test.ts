import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { packageRoot } from "../../../../src/platform/package-root.ts";
import { playDialog } from "../../../dialogs/dialog.ts";
import { Harness } from "./harness.ts";

const folder = join(packageRoot(), "test/dialogs/lmtp");

for (const file of readdirSync(folder).filter(name => name.endsWith(".dialog"))) {
  test(`LMTP dialog ${file} goes as written`, () =>
    Harness.with(file === "dsn.dialog" ? { dsn: true } : {}, async harness => {
      await playDialog(file, readFileSync(join(folder, file), "utf8"), await harness.dial());
    }));
}
