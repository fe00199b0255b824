/** What real plugins want after the commit, in a whole service: at post_receive, late, and after the service was killed meanwhile. */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { ImapFlow } from "imapflow";
import { createTransport } from "nodemailer";
import { makeScratch } from "../../src/mailhost/scratch.ts";
import { type Sidecar, startSidecar } from "../lib/sidecar.ts";

const USER = "taro@example.test";
const UNTIL_MS = 180_000;
const GRANTS = 'read_headers = true\nread_body = "preview"\nwrite_tags = true\nmove_message = true\n';
/** Answers what its settings say, when they say so: at once, late, or never unless a file is there. */
const PROGRAM = `
import { existsSync } from "node:fs";
import { createInterface } from "node:readline";
for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  if (request.mairust) {
    console.log(JSON.stringify({ mairust: 1, plugin: "PLUGIN", version: "1.0.0", api: ["1"] }));
    continue;
  }
  const subject = request.headers.find(one => one.name === "Subject")?.value ?? "";
  if (request.hook === "pre_delivery" && !subject.includes("late")) {
    console.log(JSON.stringify({ call_id: request.call_id }));
    continue;
  }
  if (request.hook === "pre_delivery") await new Promise(resolve => setTimeout(resolve, 1500));
  if (subject.includes("wait") && !existsSync("go")) {
    console.log("no answer");
    continue;
  }
  const tag = request.hook === "pre_delivery" ? "late" : "after";
  const folder = request.hook === "post_receive" && subject.includes("move") ? { folder: "Sorted" } : {};
  console.log(JSON.stringify({ call_id: request.call_id, tags: { add: [tag] }, ...folder }));
}
`;

let scratch: { readonly dir: string; remove(): Promise<void> };
let sidecar: Sidecar;
let plugins: string;

function writePlugin(id: string, point: string): string {
  const folder = join(plugins, id);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "main.mjs"), PROGRAM.replace("PLUGIN", id));
  writeFileSync(
    join(folder, "plugin.toml"),
    `id = "${id}"\nname = "${id}"\nversion = "1.0.0"
[entry]\ntype = "hook"\nprotocol = "script"\ncommand = ["node", "main.mjs"]
[hooks]\non = ["${point}"]
[permissions]\n${GRANTS}`,
  );
  return folder;
}

before(async () => {
  scratch = await makeScratch();
  plugins = join(scratch.dir, "plugins");
  writePlugin("com.example.after", "post_receive");
  writePlugin("com.example.slow", "pre_delivery");
  const grants = (id: string) =>
    `[plugin."${id}"]\ngrants = { read_headers = true, read_body = "preview", write_tags = true, move_message = true }\n`;
  sidecar = await startSidecar({
    dir: join(scratch.dir, "s"),
    toml: `[plugins]
folders = [${JSON.stringify(plugins)}]
allow_unsigned = ["com.example.after", "com.example.slow"]
allow_unsandboxed = ["com.example.after", "com.example.slow"]
${grants("com.example.after")}${grants("com.example.slow")}
[[hooks]]
name = "after"
point = "post_receive"
plugin = "com.example.after"
mode = "enforce"
[[hooks]]
name = "slow"
point = "pre_delivery"
plugin = "com.example.slow"
mode = "enforce"
timeout_ms = 200
on_timeout = "allow"
late = "apply"
`,
  });
});
after(async () => {
  await sidecar?.stop();
  await scratch?.remove();
});

async function deliver(subject: string): Promise<void> {
  const transport = createTransport({
    host: "127.0.0.1",
    port: sidecar.lmtpPort,
    lmtp: true,
    ignoreTLS: true,
  });
  const { accepted, response } = await transport.sendMail({
    envelope: { from: "a@example.org", to: [USER] },
    raw: `Subject: ${subject}\r\nMessage-ID: <${subject}@example.org>\r\n\r\nbody\r\n`,
  });
  transport.close();
  assert.equal(accepted.length, 1, `${response}\n${sidecar.logText()}`);
}

/** Keywords of the message with this subject; undefined: it is not in the mailbox. */
async function keywords(mailbox: string, subject: string): Promise<readonly string[] | undefined> {
  const client = new ImapFlow({
    host: "127.0.0.1",
    port: sidecar.imapPort,
    secure: false,
    doSTARTTLS: false,
    logger: false,
    auth: { user: "dovecot", pass: sidecar.masterPassword, authzid: USER, loginMethod: "AUTH=PLAIN" },
  });
  await client.connect();
  try {
    await client.mailboxOpen(mailbox);
    if (client.mailbox === false || client.mailbox.exists === 0) return undefined;
    for await (const one of client.fetch("1:*", { flags: true, envelope: true }))
      if (one.envelope?.subject === subject) return [...(one.flags ?? [])].sort();
    return undefined;
  } catch {
    return undefined;
  } finally {
    await client.logout();
  }
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + UNTIL_MS;
  while (!(await condition())) {
    assert.ok(
      performance.now() < end,
      `did not come true in time\n${sidecar
        .logText()
        .replace(/.*imap login.*\n/gu, "")
        .slice(-4000)}`,
    );
    await new Promise(resolve => setTimeout(resolve, 100));
  }
}

/** In the end: what a job does is there before it is written down that it is done. */
function says(command: readonly string[], ...texts: readonly RegExp[]): Promise<void> {
  return until(async () => {
    const { stdout } = await sidecar.mairust(command);
    return texts.every(text => text.test(stdout.toString()));
  });
}

test("a hook at post_receive tags and moves mail that was answered already, and the timeline tells", async () => {
  await deliver("move-me");
  await until(async () => (await keywords("Sorted", "move-me"))?.includes("after") === true);
  assert.equal(await keywords("INBOX", "move-me"), undefined);
  await says(["explain", "<move-me@example.org>"], /hook_call.*after/u, /changed.*Sorted/u);
  await says(["job", "list", "--kind", "post_receive"], /post_receive\s+done/u);
});

test("an answer that came after its time-out is on the mail in the end", async () => {
  await deliver("late-one");
  await until(async () => {
    const words = (await keywords("INBOX", "late-one")) ?? [];
    return words.includes("late") && words.includes("after");
  });
  await says(["job", "list", "--kind", "late_answer"], /late_answer\s+done/u);
});

test("a job whose plugin fails outlives the service, and is done when the plugin works again", async () => {
  await deliver("wait");
  await until(async () => {
    const { stdout } = await sidecar.mairust(["job", "list", "--kind", "post_receive", "-f", "json"]);
    return (
      stdout.toString().includes("plugin_failed") || stdout.toString().includes("Cannot finish the hooks")
    );
  });
  await sidecar.kill();
  writeFileSync(join(plugins, "com.example.after", "go"), "");
  await sidecar.restart();
  await until(async () => (await keywords("INBOX", "wait"))?.includes("after") === true);
});
