/** How the tests of transport "http" describe a plugin, unless one says otherwise. */
import type { HttpSpec } from "../../../src/core/hook-plugin.ts";
import { TEST_SECRET } from "../../lib/plugin-secrets.ts";
import { FIXTURE_ID } from "./conformance.ts";

const nothing = () => {};

export const httpSpec = (own: Pick<HttpSpec, "endpoint"> & Partial<HttpSpec>): HttpSpec => ({
  kind: "http",
  pluginId: FIXTURE_ID,
  version: "1.0.0",
  socketPath: undefined,
  approved: false,
  secrets: () => ({ signing: [TEST_SECRET], staged: undefined }),
  onLog: nothing,
  onLogDropped: nothing,
  onNotice: nothing,
  ...own,
});
