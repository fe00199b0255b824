/**
 * Plugins that put what they are sent wherever a plugin can put something, as the first word of the subject says; and the
 * configuration with a hook for each way to go too far. For `canaries-plugins.test.ts`.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** A process of `once` is there for so long when its mail says `waits`. */
export const WAITS_MS = 1500;

const PROGRAM = `
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { createInterface } from "node:readline";
const plugin = process.env.MAIRUST_PLUGIN_ID;
// The process that is asked for its health is not the one that was called.
const ailing = "/work/ailing";
const call = host => new Promise(done => {
  const { hostname, port } = new URL(process.env.HTTPS_PROXY);
  const socket = connect(port, hostname, () => socket.write("CONNECT " + host + ":443 HTTP/1.1\\r\\n\\r\\n"));
  socket.on("error", done).on("close", done).resume();
});
async function judge(line) {
  const { headers } = JSON.parse(line);
  const { value: subject } = headers.find(({ name }) => name.toLowerCase() === "subject");
  const [does, token] = subject.split(" ");
  switch (does) {
    case "explains": return JSON.stringify({ explanation: subject, usage: { input_tokens: 5, model: "m" } });
    case "says": console.error(line); break;
    case "echoes": return '{"echo":' + line + "}";
    case "breaks": return "x" + line;
    case "names": return JSON.stringify({ [subject]: 1, action: subject });
    case "exceeds": return JSON.stringify({
      tags: { add: [subject] }, flags: { add: [subject] }, folder: "../" + subject, metadata: { [subject]: 1 },
      headers: { add: [["Bad " + subject, "x"], ["X-Bad", "a\\r\\n" + subject]] }, recipients: { add_bcc: [token + "@example.org"] },
      append_text: { plain: subject }, usage: { input_tokens: 1, [subject]: 1 },
    });
    case "rejects": return '{"action":"reject","reason":"not wanted"}';
    case "moves": return JSON.stringify({
      tags: { add: ["moved"] }, flags: { add: ["\\\\Flagged"] }, folder: "Archive", metadata: { score: 1 }, headers: { add: [["X-Moved", "1"]] },
    });
    case "crashes": console.error(line); throw new Error(subject);
    case "calls": if (process.env.HTTPS_PROXY !== undefined) await call(token.toLowerCase() + ".example.com"); break;
    case "ails": if (plugin.endsWith("doer")) writeFileSync(ailing, subject); break;
    case "waits": await new Promise(done => setTimeout(done, plugin.endsWith("once") ? ${WAITS_MS} : 0)); break;
  }
  return JSON.stringify({ tags: { add: ["seen-by-" + plugin.split(".").at(-1)] } });
}
const isCall = process.argv[2] === "call";
for await (const line of createInterface({ input: process.stdin })) {
  const { mairust, health } = JSON.parse(line);
  if (mairust) console.log(JSON.stringify({ mairust: 1, plugin, version: "1.0.0", api: ["1"] }));
  else if (health) console.log(JSON.stringify(existsSync(ailing) ? { status: "degraded", details: readFileSync(ailing, "utf8") } : { status: "ok" }));
  else console.log(await judge(line));
  if (isCall) break;
}
`;

const POINTS = ["pre_receive", "pre_delivery", "post_receive", "pre_send"] as const;
const GRANTS = `read_headers = true
read_body = "full"
read_attachments = "full"
write_tags = true
write_flags = true
write_metadata = true
write_headers = true
move_message = true
decide = ["reject"]
`;

interface CanaryPlugin {
  /** Whose mail it is called for. */
  readonly recipient: string;
  readonly hook: string;
  readonly points: readonly (typeof POINTS)[number][];
  readonly mode?: "spawn";
  /** More of its manifest. */
  readonly manifest?: string;
  /** More of `[plugin."id"]`. */
  readonly plugin?: string;
}

/** By the last part of its id. */
export const CANARY_PLUGINS: Readonly<Record<string, CanaryPlugin>> = {
  doer: {
    recipient: "do[.].*",
    hook: 'mode = "enforce"',
    points: POINTS,
    manifest:
      '[limits]\nnetwork = "outbound-limited"\nnetwork_allow = ["api.example.com:443"]\npersistent_dir = true\n',
    plugin: "caps = { reject_per_hour = 1, move_per_hour = 1 }\n",
  },
  shady: { recipient: "do[.].*", hook: 'mode = "shadow"', points: ["pre_delivery"] },
  part: { recipient: "do[.].*", hook: 'mode = "canary"\ncanary_percent = 50', points: ["pre_delivery"] },
  once: { recipient: "do[.].*", hook: 'mode = "enforce"', points: ["pre_delivery"], mode: "spawn" },
  dear: {
    recipient: "dear[.].*",
    hook: 'mode = "enforce"',
    points: ["pre_delivery"],
    plugin: 'budget = { calls_per_day = 1, over_budget = "skip" }\n',
  },
  crasher: { recipient: "crash[.].*", hook: 'mode = "enforce"', points: ["pre_delivery"] },
  demoted: {
    recipient: "demote[.].*",
    hook: 'mode = "enforce"\ndemote = { errors_percent = 5, min_calls = 3, window_s = 600 }',
    points: ["pre_delivery"],
  },
};

export const canaryPluginId = (name: string) => `com.example.${name}`;
export const canaryHook = (name: string, point: string) => `${name}.${point}`;

/** Write the plugins into an empty folder. @returns the configuration that switches them and their hooks on */
export function canaryPlugins(dir: string): string {
  const ids = JSON.stringify(Object.keys(CANARY_PLUGINS).map(canaryPluginId));
  const sections = Object.entries(CANARY_PLUGINS).map(([name, spec]) => {
    writePlugin(join(dir, canaryPluginId(name)), name, spec);
    const hooks = spec.points.map(
      point => `[[hooks]]
name = "${canaryHook(name, point)}"
point = "${point}"
plugin = "${canaryPluginId(name)}"
on_timeout = "allow"
on_error = "allow"
timeout_ms = 5000
filter = { ${point === "pre_send" ? "sender" : "recipient"} = "${spec.recipient}" }
${spec.hook}
`,
    );
    return `[plugin."${canaryPluginId(name)}"]\n${spec.plugin ?? ""}[plugin."${canaryPluginId(name)}".grants]\n${GRANTS}${hooks.join("")}`;
  });
  return `[plugins]\nfolders = [${JSON.stringify(dir)}]\nallow_unsigned = ${ids}\n${sections.join("")}`;
}

function writePlugin(folder: string, name: string, { mode, manifest, points }: CanaryPlugin): void {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "main.mjs"), PROGRAM);
  writeFileSync(
    join(folder, "plugin.toml"),
    `id = "${canaryPluginId(name)}"
name = "${name}"
version = "1.0.0"
[entry]
type = "hook"
protocol = "script"
${mode === undefined ? "" : `mode = "${mode}"\n`}command = ["node", "main.mjs"${mode === undefined ? "" : ', "call"'}]
[hooks]
on = ${JSON.stringify(points)}
[permissions]
${GRANTS}${manifest ?? ""}`,
  );
}
