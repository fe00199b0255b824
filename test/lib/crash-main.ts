/**
 * The service with a switch that only tests have: `node crash-main.js CONFIG STEP` kills itself with SIGKILL when the first delivery
 * reaches the step. Everything else is the real service, composed by the real root.
 */
import { compose } from "../../src/compose.ts";
import { loadConfig } from "../../src/platform/config/load.ts";

const [configFile = "", step = ""] = process.argv.slice(2);
const reread = () => loadConfig({ configFile });
const service = await compose(await reread(), {
  reread,
  onDeliveryStep(reached) {
    if (reached === step) process.kill(process.pid, "SIGKILL");
  },
});
await service.start();
