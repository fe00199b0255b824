/** `npm run contract`: writes the files of `plugins/contract/` that are made from the source. */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { packageRoot } from "../src/platform/package-root.ts";
import { CONTRACT_FOLDER, contractFiles } from "./lib/contract-files.ts";

const folder = join(packageRoot(), CONTRACT_FOLDER);
rmSync(join(folder, "samples"), { recursive: true, force: true });
for (const [path, text] of await contractFiles()) {
  mkdirSync(dirname(join(folder, path)), { recursive: true });
  writeFileSync(join(folder, path), text);
}
