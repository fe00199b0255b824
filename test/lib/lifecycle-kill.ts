/** Where a test says at which step of a plugin's life the service is to be killed. */
import { join } from "node:path";
import { packageRoot } from "../../src/platform/package-root.ts";

export const KILL_MAIN = join(packageRoot(), "build/test/lib/lifecycle-kill-main.js");

export const killFile = (configFile: string): string => `${configFile}.kill`;
