/** A script plugin for tests that marks every message at delivery: a tag, and a header field with the hook's own word. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const PLUGIN = "com.example.mark";
/** The field that marked mail has. */
export const MARK = "X-Mark: seen by a hook";

const MANIFEST = `id = "${PLUGIN}"
name = "Mark"
version = "1.0.0"
[entry]
type = "hook"
protocol = "script"
command = ["node", "main.mjs"]
[hooks]
on = ["pre_delivery"]
[permissions]
read_headers = ["Subject"]
write_tags = true
write_headers = true
`;

const [name, value] = MARK.split(": ");
const PROGRAM = `
import { createInterface } from "node:readline";
for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  if (request.mairust) {
    console.log(JSON.stringify({ mairust: 1, plugin: "${PLUGIN}", version: "1.0.0", api: ["1"] }));
    continue;
  }
  const headers = { add: [${JSON.stringify([name, value])}] };
  console.log(JSON.stringify({ call_id: request.call_id, tags: { add: ["marked"] }, headers }));
}
`;

/** Write the plugin below `dir`. @returns the configuration that switches it on; what it does not do in time is tried again later */
export function markPlugin(dir: string): string {
  const folder = join(dir, PLUGIN);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "plugin.toml"), MANIFEST);
  writeFileSync(join(folder, "main.mjs"), PROGRAM);
  return `[plugins]
folders = [${JSON.stringify(dir)}]
allow_unsigned = ["${PLUGIN}"]
allow_unsandboxed = ["${PLUGIN}"]
[plugin."${PLUGIN}"]
grants = { read_headers = ["Subject"], write_tags = true, write_headers = true }
[[hooks]]
name = "mark"
point = "pre_delivery"
plugin = "${PLUGIN}"
mode = "enforce"
on_error = "tempfail"
on_timeout = "tempfail"
`;
}
