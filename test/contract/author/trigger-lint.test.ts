/** `plugin trigger` shows what leaves and what comes back; `plugin lint` says everything at once; `plugin record` keeps nobody's words. */
import assert from "node:assert/strict";
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { packageRoot } from "../../../src/platform/package-root.ts";
import { mairust, temporaryFolder, write } from "./author.ts";

const HELLO = join(packageRoot(), "plugins/hello-world");

test("plugin trigger shows size and fields, verdict and time, and with --payload all that was sent", async () => {
  const { code, out, err } = await mairust(["plugin", "trigger", HELLO, "--sample", "invoice", "--payload"]);
  assert.equal(code, 0, err);
  assert.match(out, /^sent {9}1\.\d KiB: provenance, headers, .*body_preview/mu);
  assert.match(out, /^verdict {6}deliver\ntags {9}hello, invoice\nfolder {7}Invoices$/mu);
  const payload = JSON.parse(out.slice(out.indexOf("\n{")));
  // Only what is granted: the subject, and no other field.
  assert.deepEqual(
    payload.headers.map(({ name }: { name: string }) => name),
    ["Subject"],
  );
  assert.equal(payload.attachments, undefined);
  const json = JSON.parse((await mairust(["plugin", "trigger", HELLO, "-f", "json"])).out);
  assert.equal(json.payload, undefined);
  assert.deepEqual(
    [json.verdict.action, json.verdict.tags, json.message],
    ["deliver", ["hello"], "sample plain"],
  );
});

test("every built-in sample can be sent, and Japanese arrives as such", async () => {
  const list = await mairust(["plugin", "trigger", HELLO, "--sample", "list", "-f", "json"]);
  for (const { name } of JSON.parse(list.out)) {
    const { code, out } = await mairust([
      "plugin",
      "trigger",
      HELLO,
      "--sample",
      name,
      "--payload",
      "-f",
      "json",
    ]);
    assert.equal(code, 0, `${name}: ${out}`);
    const { payload } = JSON.parse(out);
    assert.doesNotMatch(JSON.stringify(payload), /\ufffd/u, name);
    if (name !== "japanese") continue;
    assert.equal(payload.headers[0].value, "打ち合わせの件");
    assert.match(payload.body_preview.text, /^明日の打ち合わせは十時からです。\nよろしくお願いします。/u);
  }
});

test("plugin trigger takes a message from a file or standard input, with an envelope, at a point of the manifest", async () => {
  const file = join(temporaryFolder(), "mail.eml");
  writeFileSync(file, "Subject: INVOICE\n\nx\n");
  const args = [
    "plugin",
    "trigger",
    HELLO,
    "--from",
    "a@x.example",
    "--to",
    "b@y.example",
    "-f",
    "json",
    "--payload",
  ];
  const { payload } = JSON.parse((await mairust([...args, "--message", file])).out);
  assert.deepEqual([payload.envelope.mail_from, payload.envelope.rcpt_to], ["a@x.example", ["b@y.example"]]);
  const piped = JSON.parse(
    (await mairust([...args, "--message", "-"], Buffer.from("Subject: invoice\r\n\r\nx"))).out,
  );
  assert.deepEqual(piped.verdict.tags, ["hello", "invoice"]);
  const elsewhere = await mairust(["plugin", "trigger", HELLO, "--point", "pre_send"]);
  assert.equal(elsewhere.code, 65);
  assert.match(elsewhere.err, /does not name pre_send/u);
  assert.equal((await mairust(["plugin", "trigger", HELLO, "--point", "later"])).code, 64);
  assert.equal((await mairust(["plugin", "trigger", HELLO, "--sample", "nosuch"])).code, 64);
  assert.equal((await mairust(["plugin", "trigger", HELLO, "--message", "/nowhere"])).code, 66);
});

test("plugin lint finds files that are not there, outside or not to be run, and what a review warns of", async () => {
  const folder = temporaryFolder();
  const manifest = (command: string, more = "") => `id = "com.example.a"
name = "A"
version = "1.0.0"
[compat]
mairust_min = "9.0.0"
[entry]
type = "hook"
protocol = "script"
command = ${command}
[hooks]
on = ["post_receive"]
late = "apply"
[permissions]
read_headers = true
read_body = "full"
decide = ["reject"]
${more}`;
  write(
    folder,
    "plugin.toml",
    manifest('["python3", "-u", "../main.py"]', '[permission_notes]\nread_body = "x"\nwrite_tags = "x"\n'),
  );
  const { code, out } = await mairust(["plugin", "lint", folder]);
  assert.equal(code, 65);
  const lines = out.split("\n").map(line => line.replace(`${folder}/`, ""));
  assert.match(
    lines[0] ?? "",
    /^error: plugin\.toml:5: compat\.mairust_min: found 9\.0\.0, allowed: at most/u,
  );
  assert.equal(
    lines[1],
    'error: plugin.toml:9: entry.command[2]: found "../main.py", which is outside of the plugin\'s folder, allowed: a file below it',
  );
  assert.match(lines[2] ?? "", /^warning: plugin\.toml:12: hooks\.late: does nothing at post_receive/u);
  assert.match(
    lines[3] ?? "",
    /^warning: plugin\.toml:15: permissions\.read_body: a review warns of this right: it reads whole messages$/u,
  );
  assert.match(
    lines[4] ?? "",
    /:16: permissions\.decide: a review warns .*; say why in permission_notes\.decide$/u,
  );
  assert.match(
    lines[5] ?? "",
    /:16: permissions\.decide: does nothing at post_receive, only at pre_receive/u,
  );
  assert.match(
    lines[6] ?? "",
    /:19: permission_notes\.write_tags: permissions\.write_tags is not asked for/u,
  );
  assert.equal(lines[7], "com.example.a 1.0.0: 2 errors, 5 warnings");

  const errorsOf = async (command: string) => {
    write(folder, "plugin.toml", manifest(command).replace("9.0.0", "0.1.0"));
    const report = JSON.parse((await mairust(["plugin", "lint", folder, "-f", "json"])).out);
    return report.entries
      .filter((entry: { severity: string }) => entry.severity === "error")
      .map((entry: { text: string }) => entry.text);
  };
  assert.match((await errorsOf('["node", "main.mjs"]'))[0], /"main\.mjs", which is not there/u);
  assert.match(
    (await errorsOf('["no-such-program-at-all"]'))[0],
    /there is no program "no-such-program-at-all"/u,
  );
  write(folder, "run.sh", "#!/bin/sh\n");
  assert.match(
    (await errorsOf('["./run.sh"]'))[0],
    /which may not be run, allowed: a program \(chmod \+x \.\/run\.sh\)/u,
  );
  chmodSync(join(folder, "run.sh"), 0o755);
  assert.deepEqual(await errorsOf('["./run.sh"]'), []);
  assert.deepEqual(await errorsOf('["sh", "run.sh"]'), []);
  write(folder, "mit Umlaut ä.txt", "x");
  assert.match(
    (await mairust(["plugin", "lint", folder])).out,
    /warning: \S+: no package can be made of it: .*Umlaut/u,
  );
  mkdirSync(join(folder, "fixtures"));
  write(folder, "fixtures/a.toml", "[expect]\nx = 1\n");
  write(folder, "fixtures/a.eml", "");
  assert.match((await errorsOf('["./run.sh"]'))[0], /unknown key/u);
});

test("plugin lint says what this version cannot do, as enabling does", async () => {
  const folder = temporaryFolder();
  cpSync(HELLO, folder, { recursive: true });
  write(
    folder,
    "plugin.toml",
    `${readFileSync(join(HELLO, "plugin.toml"), "utf8")}\n[jobs.a]\ntitle = "A"\n`,
  );
  const { code, out } = await mairust(["plugin", "lint", join(folder, "plugin.toml")]);
  assert.equal(code, 65);
  assert.match(out, /plugin\.toml:\d+: jobs: \[jobs\] is not built in this version/u);
});

test("plugin record makes a redacted fixture that plugin test --update completes; nothing is written over", async () => {
  const folder = join(temporaryFolder(), "project");
  cpSync(HELLO, folder, { recursive: true });
  const mail = Buffer.from("From: Jane Doe <jane@corp.example>\r\nSubject: Invoice 4711\r\n\r\nDear Bob\r\n");
  const record = (...args: string[]) =>
    mairust(["plugin", "record", "--file", "-", "--plugin", folder, ...args], mail);
  const dry = await record("--dry-run");
  assert.match(dry.out, /^would make fixture recorded-1\n/u);
  assert.ok(!existsSync(join(folder, "fixtures/recorded-1.eml")));
  const made = await record();
  assert.equal(made.code, 0, made.err);
  assert.match(made.out, /replaced: 1 addresses, \d+ words and numbers, 0 attachments/u);
  assert.doesNotMatch(
    readFileSync(join(folder, "fixtures/recorded-1.eml"), "latin1"),
    /jane|corp|invoice|4711|bob/iu,
  );
  assert.match((await record()).out, /recorded-2/u);
  assert.equal((await record("--name", "recorded-1")).code, 73);
  assert.equal((await record("--name", "../x")).code, 64);
  const kept = await record("--name", "kept", "--keep-text");
  assert.match(kept.out, /--keep-text/u);
  assert.match(
    readFileSync(join(folder, "fixtures/kept.eml"), "latin1"),
    /Subject: Invoice 4711\r\n\r\nDear Bob/u,
  );
  assert.equal((await mairust(["plugin", "record"])).code, 64);
  assert.equal((await mairust(["plugin", "test", folder, "--update"])).code, 0);
  assert.match(readFileSync(join(folder, "fixtures/kept.toml"), "utf8"), /tags = \[ "hello", "invoice" \]/u);
});
