/** Both script transports in the sandbox, in the strongest tier that this machine offers: what they must do changes in nothing. */
import { join } from "node:path";
import { after } from "node:test";
import { packageRoot } from "../../../../src/platform/package-root.ts";
import { FIXTURE_ID, transportConformance } from "../conformance.ts";
import { rigOf } from "./rig.ts";

const rig = await rigOf(process.getuid?.() === 0 ? 3 : 2);
if (rig.missing !== undefined) throw new Error(`no tier with namespaces: ${rig.missing}`);
after(() => rig.close());
const folder = join(packageRoot(), "test/contract/runtimes/fixtures");

for (const mode of ["worker", "spawn"] as const) {
  transportConformance(`script, mode ${mode}, in tier ${rig.tier}`, () =>
    rig.transport(
      FIXTURE_ID,
      {
        mode,
        folder,
        workers: mode === "spawn" ? 2 : 1,
        command: [process.execPath, "behaving-plugin.mjs", mode === "spawn" ? "spawn" : "good"],
      },
      { memoryMb: 512, cpuMs: 10_000 },
    ),
  );
}
