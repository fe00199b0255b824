/**
 * A script plugin for tests that does what a message's Subject says: `reject`, `tempfail`, `hold`, `tag`, `die` (its process ends), `load`
 * (nothing at all). It tags by the hook point, so that it is seen where it was called.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export const JUDGE = "com.example.judge";

const manifest = (decide: string) => `id = "${JUDGE}"
name = "Judge"
version = "1.0.0"
[entry]
type = "hook"
protocol = "script"
command = ["node", "main.mjs"]
[hooks]
on = ["pre_receive", "pre_send", "pre_delivery"]
[permissions]
read_headers = ["Subject"]
write_tags = true
decide = ${decide}
`;

const PROGRAM = `
import { appendFileSync } from "node:fs";
import { createInterface } from "node:readline";
for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  if (request.mairust) {
    console.log(JSON.stringify({ mairust: 1, plugin: "${JUDGE}", version: "1.0.0", api: ["1"] }));
    continue;
  }
  if (request.health) {
    console.log(JSON.stringify({ status: "ok" }));
    continue;
  }
  const subject = request.headers?.[0]?.value ?? "";
  if (subject === "load") {
    console.log(JSON.stringify({ call_id: request.call_id }));
    continue;
  }
  appendFileSync("calls", JSON.stringify({ hook: request.hook, subject, rcpt: request.envelope?.rcpt_to, tags: request.context?.tags }) + "\\n");
  if (request.hook !== "pre_delivery" && subject.startsWith("die")) process.exit(1);
  const answers = {
    reject: { action: "reject", reason: "not wanted here" },
    tempfail: { action: "tempfail", reason: "come back" },
    hold: { action: "hold", reason: "look at this", tags: { add: ["held-by-" + request.hook.replace("_", "-")] } },
  };
  const verdict = request.hook === "pre_delivery" ? undefined : answers[subject.split(" ")[0]];
  console.log(JSON.stringify({ call_id: request.call_id, ...(verdict ?? { tags: { add: [request.hook.replace("_", "-")] } }) }));
}
`;

/** Write the plugin below `dir`. @param decisions  that it may make; with `hold` it needs the whole message. @returns the configuration that switches it on at these points; its calls go to the file `calls` */
export function judgePlugin(
  dir: string,
  points: readonly string[],
  more = "",
  decisions: readonly string[] = ["reject", "tempfail"],
): { readonly toml: string; readonly callsFile: string } {
  const folder = join(dir, JUDGE);
  mkdirSync(folder, { recursive: true });
  const decide = JSON.stringify(decisions);
  writeFileSync(join(folder, "plugin.toml"), manifest(decide));
  writeFileSync(join(folder, "main.mjs"), PROGRAM);
  const hooks = points.map(
    point => `[[hooks]]
name = "judge-${point.replace("_", "-")}"
point = "${point}"
plugin = "${JUDGE}"
mode = "enforce"
timeout_ms = 5000
on_error = "allow"
${more}`,
  );
  const toml = `[plugins]
folders = [${JSON.stringify(dir)}]
allow_unsigned = ["${JUDGE}"]
allow_unsandboxed = ["${JUDGE}"]
[plugin."${JUDGE}"]
grants = { read_headers = ["Subject"], write_tags = true, decide = ${decide} }
${hooks.join("\n")}`;
  return { toml, callsFile: join(folder, "calls") };
}
