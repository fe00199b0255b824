import assert from "node:assert/strict";
import { test } from "node:test";
import { configuredPorts } from "../../../src/compose/egress.ts";
import { loadConfig } from "../../../src/platform/config/load.ts";

test("ports of listeners, next hops, the API and the database are no plugin's; those of its own settings are", async () => {
  const { config } = await loadConfig({
    defaultFile: "/nonexistent/mairust.toml",
    env: {},
    overrides: [
      "database.url=postgres://mairust@127.0.0.1:5433/mairust",
      'imap.listen=["inet:[::1]:2143"]',
      "outbound.smtp=inet:127.0.0.1:10025",
    ],
  });
  const own = { plugin: { "com.example.p": { grants: {}, settings: { endpoint: "inet:127.0.0.1:11434" } } } };
  const ports = configuredPorts({ ...config, ...own });
  for (const port of [5433, 2143, 8025, 10025, 2424]) assert.ok(ports.has(port), `${port}`);
  assert.ok(!ports.has(11434));
});
