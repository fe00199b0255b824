/** A script plugin for tests that files a message at delivery: into the folder that stands in its Subject, as JSON. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const PLUGIN = "com.example.filing";

const MANIFEST = `id = "${PLUGIN}"
name = "Filing"
version = "1.0.0"
[entry]
type = "hook"
protocol = "script"
command = ["node", "main.mjs"]
[hooks]
on = ["pre_delivery"]
[permissions]
read_headers = ["Subject"]
read_body = "preview"
move_message = true
`;

const PROGRAM = `
import { createInterface } from "node:readline";
for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  if (request.mairust) {
    console.log(JSON.stringify({ mairust: 1, plugin: "${PLUGIN}", version: "1.0.0", api: ["1"] }));
    continue;
  }
  const subject = request.headers?.[0]?.value ?? "";
  const folder = subject.startsWith('"') ? { folder: JSON.parse(subject) } : {};
  console.log(JSON.stringify({ call_id: request.call_id, ...folder }));
}
`;

/** Write the plugin below `dir`. @param recipient  whose mail it files. @returns the configuration that switches it on */
export function filingPlugin(dir: string, recipient: string): string {
  const folder = join(dir, PLUGIN);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "plugin.toml"), MANIFEST);
  writeFileSync(join(folder, "main.mjs"), PROGRAM);
  return `[plugins]
folders = [${JSON.stringify(dir)}]
allow_unsigned = ["${PLUGIN}"]
allow_unsandboxed = ["${PLUGIN}"]
[plugin."${PLUGIN}"]
grants = { read_headers = ["Subject"], read_body = "preview", move_message = true }
[[hooks]]
name = "filing"
point = "pre_delivery"
plugin = "${PLUGIN}"
mode = "enforce"
on_error = "tempfail"
on_timeout = "tempfail"
filter = { recipient = ${JSON.stringify(recipient)} }
`;
}
