import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { packageRoot } from "../../../../src/platform/package-root.ts";
import type { LmtpServerConfig } from "../../../../src/protocols/lmtp/server.ts";
import { playDialog } from "../../../dialogs/dialog.ts";
import { Harness } from "./harness.ts";

/** What a dialog's server has besides the defaults. */
const SERVERS: Readonly<Record<string, Partial<LmtpServerConfig>>> = {
  "dsn.dialog": { dsn: true },
  "limits.dialog": { limits: { recipients: 3, addressBytes: 60, protocolErrors: 5 } },
};

const folder = join(packageRoot(), "test/dialogs/lmtp");

for (const file of readdirSync(folder).filter(name => name.endsWith(".dialog"))) {
  test(`LMTP dialog ${file} goes as written`, () =>
    Harness.with(SERVERS[file] ?? {}, async harness => {
      await playDialog(file, readFileSync(join(folder, file), "utf8"), await harness.dial());
    }));
}
