/**
 * The service with a switch that only tests have: `node lifecycle-kill-main.js CONFIG` kills itself with SIGKILL when a change of a
 * plugin's life reaches the step that the file {@link killFile} names. Everything else is the real service, composed by the real root.
 */
import { existsSync, readFileSync, rmSync } from "node:fs";
import { compose } from "../../src/compose.ts";
import { loadConfig } from "../../src/platform/config/load.ts";
import { killFile } from "./lifecycle-kill.ts";

const [configFile = ""] = process.argv.slice(2);
const file = killFile(configFile);
const reread = () => loadConfig({ configFile });
const service = await compose(await reread(), {
  reread,
  async onLifecycleStep(step) {
    if (!existsSync(file) || readFileSync(file, "utf8") !== step) return;
    rmSync(file);
    process.kill(process.pid, "SIGKILL");
    await new Promise(() => undefined);
  },
});
await service.start();
