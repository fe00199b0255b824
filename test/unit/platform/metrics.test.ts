import assert from "node:assert/strict";
import { test } from "node:test";
import { createMetrics } from "../../../src/platform/metrics.ts";

/** `operations.md` §3, what this version has. */
const NAMES = [
  "mairust_lmtp_messages_total",
  "mairust_lmtp_duration_seconds",
  "mairust_hook_calls_total",
  "mairust_hook_duration_seconds",
  "mairust_hook_last_success_timestamp_seconds",
  "mairust_plugin_calls_total",
  "mairust_plugin_duration_seconds",
  "mairust_plugin_errors_total",
  "mairust_store_commit_seconds",
  "mairust_store_messages_total",
  "mairust_blob_bytes_total",
  "mairust_imap_commands_total",
  "mairust_imap_duration_seconds",
  "mairust_http_request_duration_seconds",
  "mairust_component_state",
];

test("every metric of the documentation is there", async () => {
  const text = await createMetrics({ process: false }).render();
  for (const name of NAMES) assert.match(text, new RegExp(`^# TYPE ${name} `, "m"), name);
  for (const [, name] of text.matchAll(/^# TYPE (\S+)/gm)) assert.ok(name?.startsWith("mairust_"), name);
});

test("values carry their labels", async () => {
  const metrics = createMetrics({ process: false });
  metrics.lmtpMessages.inc({ result: "stored" }, 2);
  metrics.hookCalls.inc({ hook: "spam", plugin: "com.example.x", outcome: "ok" });
  metrics.httpRequestDuration.observe({ route: "/livez" }, 0.002);
  metrics.pluginDeniedActions.inc({ plugin: "com.example.x", item: "folder" });
  const text = await metrics.render();
  assert.match(text, /^mairust_plugin_denied_actions_total\{plugin="com\.example\.x",item="folder"\} 1$/m);
  assert.match(text, /^mairust_lmtp_messages_total\{result="stored"\} 2$/m);
  assert.match(text, /^mairust_hook_calls_total\{hook="spam",plugin="com\.example\.x",outcome="ok"\} 1$/m);
  assert.match(text, /^mairust_http_request_duration_seconds_bucket\{le="0\.0025",route="\/livez"\} 1$/m);
});

test("held mail is counted when it is asked for; without an answer there is no figure", async () => {
  let answer: () => Promise<number> = async () => 3;
  const metrics = createMetrics({ process: false, held: () => answer() });
  assert.match(await metrics.render(), /^mairust_held_messages 3$/m);
  answer = () => Promise.reject(new Error("no database"));
  const text = await metrics.render();
  assert.doesNotMatch(text, /^mairust_held_messages \d/m);
  assert.match(text, /^# TYPE mairust_component_state /m);
});

test("what plugins send and receive is summed over their destinations", async () => {
  const row = { plugin: "com.example.x", destination: "a.example:443", connections: 1, refused: {} };
  const network = () => [
    { ...row, bytesUp: 10, bytesDown: 200 },
    { ...row, destination: "b.example:443", bytesUp: 1, bytesDown: 0 },
  ];
  const metrics = createMetrics({ process: false, network });
  for (let i = 0; i < 2; i++) {
    const text = await metrics.render();
    assert.match(text, /^mairust_plugin_network_bytes\{plugin="com\.example\.x",direction="up"\} 11$/m);
    assert.match(text, /^mairust_plugin_network_bytes\{plugin="com\.example\.x",direction="down"\} 200$/m);
  }
});

test("two services in one process do not meet", async () => {
  const [one, two] = [createMetrics({ process: false }), createMetrics({ process: false })];
  one.storeMessages.inc();
  assert.match(await one.render(), /^mairust_store_messages_total 1$/m);
  assert.match(await two.render(), /^mairust_store_messages_total 0$/m);
});

test("component states are read when they are asked for", async () => {
  const states: { name: string; state: "running" | "failed" }[] = [{ name: "db", state: "running" }];
  const metrics = createMetrics({ process: false, components: () => states });
  assert.match(await metrics.render(), /^mairust_component_state\{component="db",state="running"\} 1$/m);
  states[0] = { name: "db", state: "failed" };
  const text = await metrics.render();
  assert.match(text, /state="running"\} 0$/m);
  assert.match(text, /state="failed"\} 1$/m);
});

test("process metrics have the prefix too", async () => {
  const text = await createMetrics().render();
  assert.match(text, /^# TYPE mairust_process_cpu_seconds_total /m);
});
