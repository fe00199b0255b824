/**
 * A script plugin for tests that changes mail that is sent as its Subject says: `footer` appends text, `bcc` adds the archive and
 * somebody whom nobody allowed, `field` adds X-Footer, `hold` holds it; more words do more.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export const FOOTER_PLUGIN = "com.example.footer";
export const FOOTER = { plain: "-- \nExample Corp \u682a\u5f0f\u4f1a\u793e", html: "<p>Example Corp</p>" };

const RIGHTS = {
  read_headers: '["Subject"]',
  write_headers: "true",
  append_text: "true",
  add_recipients: "true",
  decide: '["hold"]',
};

const MANIFEST = `id = "${FOOTER_PLUGIN}"
name = "Footer"
version = "1.0.0"
[entry]
type = "hook"
protocol = "script"
command = ["node", "main.mjs"]
[hooks]
on = ["pre_send"]
[permissions]
${Object.entries(RIGHTS)
  .map(([name, value]) => `${name} = ${value}`)
  .join("\n")}
`;

const program = (archive: string) => `
import { createInterface } from "node:readline";
for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  if (request.mairust) {
    console.log(JSON.stringify({ mairust: 1, plugin: "${FOOTER_PLUGIN}", version: "1.0.0", api: ["1"] }));
    continue;
  }
  const words = (request.headers?.[0]?.value ?? "").split(" ");
  console.log(JSON.stringify({
    call_id: request.call_id,
    ...(words.includes("hold") ? { action: "hold", reason: "look at it" } : {}),
    ...(words.includes("footer") ? { append_text: ${JSON.stringify(FOOTER)} } : {}),
    ...(words.includes("field") ? { headers: { add: [["X-Footer", "yes"]] } } : {}),
    ...(words.includes("bcc") ? { recipients: { add_bcc: [${JSON.stringify(archive)}, "stranger@example.test"] } } : {}),
  }));
}
`;

/** Write the plugin below `dir`. @returns the configuration that switches it on */
export function footerPlugin(dir: string, archive: string): string {
  const folder = join(dir, FOOTER_PLUGIN);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "plugin.toml"), MANIFEST);
  writeFileSync(join(folder, "main.mjs"), program(archive));
  const grants = Object.entries(RIGHTS).map(([name, value]) => `${name} = ${value}`);
  return `[plugins]
folders = [${JSON.stringify(dir)}]
allow_unsigned = ["${FOOTER_PLUGIN}"]
allow_unsandboxed = ["${FOOTER_PLUGIN}"]
[plugin."${FOOTER_PLUGIN}"]
grants = { ${grants.join(", ")} }
bcc = ["${archive}"]
[[hooks]]
name = "footer"
point = "pre_send"
plugin = "${FOOTER_PLUGIN}"
mode = "enforce"
timeout_ms = 5000
`;
}
