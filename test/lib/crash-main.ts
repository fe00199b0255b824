/**
 * The service with a switch that only tests have: `node crash-main.js CONFIG STEP [SKIP] [VICTIM]` kills itself with SIGKILL (or its
 * PostgreSQL, or both) when a delivery reaches the step, after it was passed SKIP times. Everything else is the real service, composed
 * by the real root.
 */
import { compose } from "../../src/compose.ts";
import { loadConfig } from "../../src/platform/config/load.ts";
import { CrashProbe, firedFile, installProbe } from "./crash-probe.ts";
import { isCrashStep, isCrashVictim } from "./crash-steps.ts";

const [configFile = "", step = "", skip = "0", victim = "sidecar"] = process.argv.slice(2);
if (!isCrashStep(step) || !isCrashVictim(victim))
  throw new Error(`no such step or victim: ${step} ${victim}`);
const reread = () => loadConfig({ configFile });
const loaded = await reread();
const { data_dir: dataDir, blobs } = loaded.config;
const probe = new CrashProbe({
  plan: { step, skip: Number(skip), victim },
  dataDir,
  blobDir: blobs.path,
  firedFile: firedFile(configFile),
});
installProbe(probe, blobs.path);
const service = await compose(loaded, { reread, onDeliveryStep: reached => probe.reached(reached) });
await service.start();
probe.arm();
