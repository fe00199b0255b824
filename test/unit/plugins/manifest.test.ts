import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { packageRoot } from "../../../src/platform/package-root.ts";
import { parseManifest } from "../../../src/plugins/manifest.ts";
import { compatFinding } from "../../../src/plugins/manifest-rules.ts";
import { ManifestError, problemText } from "../../../src/plugins/problem.ts";
import { manifestSchema } from "../../../src/wire/manifest.ts";
import { MINIMAL, problems } from "./manifest-problems.ts";

const ORIGINAL_NOTES = `
# 基本情報
id = "com.example.mairust.spam-filter"
name = "Example Spam Filter"
version = "1.0.0"
author = "Example Corp"
description = "AI-based spam detection and classification"
license = "MIT"
homepage = "https://example.com/spam-filter"

[compat]
mairust_min = "0.3.0"
mairust_max = "0.5.x"

[entry]
type = "hook"                    # hook | service | ui
protocol = "http"                # http | grpc | script
endpoint = "http://localhost:8081/hook"
health_endpoint = "http://localhost:8081/health"
callback_api = true

[hooks]
on = ["post_receive"]
filter_recipient_matches = ".*@example.com"

[permissions]
read_headers = true
read_body = "preview"            # none | preview | full
read_attachments = "metadata"    # none | metadata | preview | full
write_tags = true
write_flags = false
move_message = false
write_metadata = true

[limits]
cpu_ms = 500
memory_mb = 256
wall_time_ms = 2000
network = "outbound-limited"     # none | local-only | outbound-limited | unlimited

[logging]
level = "info"      # trace | debug | info | warn | error
format = "json"     # json | text
`;

const EVERY_KEY = `
id = "com.example.mairust.spam-filter"
name = "Example Spam Filter"
version = "1.0.0"
author = "Example Corp"
description = "AI-based spam detection and classification"
license = "MIT"
homepage = "https://example.com/spam-filter"
source = "https://example.com/git/spam-filter"
depends = ["other.plugin.id>=1.2.0"]
[compat]
mairust_min = "0.3.0"
mairust_max = "0.5.x"
api = "1"
[entry]
type = "hook"
protocol = "http"
endpoint = "http://localhost:8081/hook"
health_endpoint = "http://localhost:8081/health"
callback_api = true
[hooks]
on = ["post_receive"]
priority = 100
timeout_ms = 2000
on_timeout = "tempfail"
on_error = "tempfail"
filter_recipient_matches = ".*@example.com"
[permissions]
read_headers = true
read_body = "preview"
read_attachments = "metadata"
write_tags = true
write_flags = false
move_message = false
write_metadata = true
decide = ["reject", "tempfail", "hold"]
write_headers = false
append_text = false
add_recipients = false
send_mail = false
[permission_notes]
read_body = "Needs the first lines to find the language."
[limits]
cpu_ms = 500
memory_mb = 256
wall_time_ms = 2000
network = "outbound-limited"
network_allow = ["api.example.com:443"]
[caps]
reject_per_hour = 100
move_per_hour = 1000
[budget]
concurrency = 2
calls_per_day = 10000
tokens_per_day = 2000000
over_budget = "skip"
[settings.threshold]
type = "number"
default = 0.8
min = 0.0
max = 1.0
description = "Score from which mail is tagged as spam"
[api]
endpoint = "http://localhost:8081/api"
scopes = ["report:read"]
openapi = "openapi.json"
[events]
on = ["message.updated", "message.moved", "message.released"]
[actions.summarize]
title = "Summarise"
[jobs.monthly_report]
title = "Monthly report"
parallelizable = false
cancelable = true
downloadable = true
schedule = "0 6 1 * *"
[ui]
bundle = "ui/index.html"
panels = ["message", "dashboard"]
[logging]
level = "info"
format = "json"
`;

test("the manifest of the original notes validates unchanged", async () => {
  assert.deepEqual(await problems(ORIGINAL_NOTES), []);
  const script = `${MINIMAL.replace('command = ["a"]', 'command = ["a"]\nhealth_cmd = "/opt/plugin/healthcheck.sh"')}[ui]\nbundle = "ui/bundle.js"\n`;
  assert.deepEqual(await problems(script), []);
});

test("a manifest with every key validates", async () => {
  assert.deepEqual(await problems(EVERY_KEY), []);
  assert.deepEqual(await problems(MINIMAL), []);
});

test("the samples' manifests validate", async () => {
  const folder = join(packageRoot(), "plugins");
  const files = readdirSync(folder)
    .map(name => join(folder, name, "plugin.toml"))
    .filter(existsSync);
  const ids = await Promise.all(
    files.map(async file => (await parseManifest(readFileSync(file, "utf8"), file)).id),
  );
  const names = ["hello-world", "keyword-reject", "rspamd"];
  assert.deepEqual(
    names.filter(name => !ids.includes(`com.example.mairust.${name}`)),
    [],
  );
});

test("all errors are told at once, with line, key, what was found and what is allowed", async () => {
  const source = `id = "Bad Id"
name = "A"
version = "1.0"
colour = "red"
[entry]
type = "hook"
protocol = "htp"
worker = 2
workers = 17
[hooks]
on = ["pre_delivery", "pre_deliver"]
timeout_ms = 6000
on_error = "ignore"
[permissions]
write_tags = true
move_message = true
read_body = "all"
[settings.x]
type = "number"
default = 2
max = 1
`;
  assert.deepEqual(await problems(source), [
    "1 id",
    "3 version",
    "4 colour",
    "7 entry.protocol",
    "8 entry.worker",
    "9 entry.workers",
    "11 hooks.on[1]",
    "12 hooks.timeout_ms",
    "13 hooks.on_error",
    "15 permissions.write_tags PERM_DEP_TAGS",
    "16 permissions.move_message PERM_DEP_MOVE",
    "17 permissions.read_body",
    "20 settings.x.default",
  ]);
  await assert.rejects(parseManifest(source, "plugin.toml"), error => {
    assert.ok(error instanceof ManifestError);
    const texts = error.problems.map(problemText);
    assert.equal(
      texts[4],
      'plugin.toml:8: entry.worker: found an unknown key, allowed: type, protocol, endpoint, command, module, mode, workers, health_endpoint, health_cmd, callback_api (did you mean "workers"?)',
    );
    assert.match(texts[3] ?? "", /found "htp", allowed: "http", "unix", "script"/);
    assert.match(texts[7] ?? "", /found 6000, allowed: at most 5000 at pre_delivery/);
    return true;
  });
});

test("what is missing is told with what should stand there", async () => {
  assert.deepEqual(await problems(""), ["1 id", "1 name", "1 version", "1 entry"]);
  assert.deepEqual(await problems(MINIMAL.replace('command = ["a"]\n', "")), ["4 entry.command"]);
  assert.deepEqual(await problems(MINIMAL.replace(/\[hooks\][\s\S]*/, "")), ["1 hooks.on"]);
});

test("a syntax error is told with its line, alone", async () => {
  assert.deepEqual(await problems('id = "a"\nname = \n'), ["2 "]);
  assert.deepEqual(await problems("[entry]\n__proto__ = 1\n"), ["2 "]);
});

const WITH: ReadonlyArray<readonly [string, string, string]> = [
  ["mairust.* is reserved", 'id = "mairust.a"', "1 id"],
  ["an id needs a dot", 'id = "hello"', "1 id"],
];
for (const [name, line, expected] of WITH) {
  test(`an id: ${name}`, async () =>
    assert.deepEqual(await problems(MINIMAL.replace(/^id.*$/m, line)), [expected]));
}

for (const [name, more, key] of [
  ["http needs a URL", 'type = "hook"\nprotocol = "http"\nendpoint = "localhost"', "entry.endpoint"],
  ["unix needs unix:///path", 'type = "hook"\nprotocol = "unix"\nendpoint = "/run/x"', "entry.endpoint"],
  ["wasm needs a module", 'type = "hook"\nprotocol = "wasm"', "entry.module"],
  ["a hook needs a protocol", 'type = "hook"', "entry.protocol"],
  [
    "mode is for scripts",
    'type = "hook"\nprotocol = "http"\nendpoint = "http://a"\nmode = "spawn"',
    "entry.mode",
  ],
  ["command is a list", 'type = "hook"\nprotocol = "script"\ncommand = "a"', "entry.command"],
  ["a ui needs its bundle", 'type = "ui"', "ui.bundle"],
] as const) {
  test(`entry: ${name}`, async () => {
    const found = await problems(MINIMAL.replace(/^type[\s\S]*?(?=\[hooks\])/m, `${more}\n`));
    const keys = found.map(text => text.split(" ")[1]);
    // The rest of the manifest has hooks, which a ui cannot have.
    assert.deepEqual(
      keys.filter(found => found !== "hooks"),
      [key],
    );
  });
}

test("time-outs over 5000 ms are refused where mail waits, also per point, and allowed at post_receive", async () => {
  const hooks = (text: string) => problems(MINIMAL.replace(/^on = .*/m, text));
  assert.deepEqual(await hooks('on = ["post_receive"]\ntimeout_ms = 60000'), []);
  assert.deepEqual(await hooks('on = ["post_receive"]\ntimeout_ms = 120001'), ["10 hooks.timeout_ms"]);
  assert.deepEqual(
    await hooks(
      'on = ["pre_receive", "post_receive"]\ntimeout_ms = 60000\n[hooks.pre_receive]\ntimeout_ms = 5000',
    ),
    [],
  );
  assert.deepEqual(await hooks('on = ["pre_delivery"]\n[hooks.pre_delivery]\ntimeout_ms = 5001'), [
    "11 hooks.pre_delivery.timeout_ms",
  ]);
  assert.deepEqual(await hooks('on = ["pre_delivery"]\n[hooks.pre_send]\npriority = 1'), [
    "10 hooks.pre_send",
  ]);
});

test("patterns are tried on the engine that will run them", async () => {
  assert.deepEqual(await problems(MINIMAL.replace(/^on = .*/m, '$&\nfilter_recipient_matches = "(?=x)"')), [
    "10 hooks.filter_recipient_matches",
  ]);
});

test("settings: enums need values, secrets have no default, bounds go with numbers", async () => {
  const setting = (text: string) => problems(`${MINIMAL}[settings.x]\n${text}\n`);
  assert.deepEqual(await setting('type = "enum"\nvalues = ["a", "b"]\ndefault = "a"'), []);
  assert.deepEqual(await setting('type = "enum"'), ["10 settings.x.values"]);
  assert.deepEqual(await setting('type = "secret"\ndefault = "hunter2"'), ["12 settings.x.default"]);
  assert.deepEqual(await setting('type = "string"\nmin = 1'), ["12 settings.x.min"]);
  assert.deepEqual(await setting('type = "url"\ndefault = "file:///etc/passwd"'), ["12 settings.x.default"]);
});

test("compat: the host's version and contract are compared with the range", async () => {
  const finding = async (compat: string, host = "0.3.0") =>
    compatFinding(await parseManifest(`${MINIMAL}[compat]\n${compat}\n`, "plugin.toml"), host, [
      "1",
    ])?.path.join(".");
  assert.equal(await finding('mairust_min = "0.3.0"\nmairust_max = "0.5.x"'), undefined);
  assert.equal(await finding('mairust_max = "0.5.x"', "0.5.99"), undefined);
  assert.equal(await finding('mairust_max = "0.5.x"', "0.6.0"), "compat.mairust_max");
  assert.equal(await finding('mairust_min = "0.4.0"'), "compat.mairust_min");
  assert.equal(await finding('mairust_min = "0.3.0"', "0.3.0-rc.1"), "compat.mairust_min");
  assert.equal(await finding('api = "2"'), "compat.api");
  assert.deepEqual(await problems(`${MINIMAL}[compat]\nmairust_min = "0.6.0"\nmairust_max = "0.5.x"\n`), [
    "12 compat.mairust_max",
  ]);
});

test("the schema uses only keywords that the check knows", () => {
  const known = new Set(
    "type const enum anyOf properties patternProperties required items minItems maxItems minLength maxLength maxProperties pattern minimum maximum allowed allowedKeys additionalProperties $id title description examples".split(
      " ",
    ),
  );
  const visit = (schema: unknown): void => {
    if (typeof schema !== "object" || schema === null) return;
    for (const [keyword, value] of Object.entries(schema)) {
      assert.ok(known.has(keyword), keyword);
      if (keyword === "properties" || keyword === "patternProperties") Object.values(value).forEach(visit);
      else if (keyword === "items") visit(value);
      else if (keyword === "anyOf" && Array.isArray(value)) value.forEach(visit);
    }
  };
  visit(JSON.parse(JSON.stringify(manifestSchema)));
});
