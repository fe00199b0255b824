import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import type { ScriptSpec } from "../../../src/core/hook-plugin.ts";
import type { Log } from "../../../src/core/ports/log.ts";
import { deadlineAfter } from "../../../src/platform/deadline.ts";
import { loadPlugins, type PluginHostOptions } from "../../../src/plugins/host.ts";
import { fixedSecrets } from "../../lib/plugin-secrets.ts";
import { pluginsSection } from "../../lib/plugins-section.ts";
import { rowOf } from "../hooks/rig.ts";

const root = mkdtempSync(join(tmpdir(), "mairust-plugins-"));
after(() => rmSync(root, { recursive: true, force: true }));

const MANIFEST = `name = "A"
version = "1.2.0"
[entry]
type = "hook"
protocol = "script"
command = ["true"]
[hooks]
on = ["pre_delivery"]
[permissions]
read_headers = true
read_body = "full"
read_attachments = "full"
write_tags = true
write_flags = true
move_message = true
decide = ["reject", "hold"]
[limits]
wall_time_ms = 1500
`;

let folders = 0;
/** A folder of plugins, by id and what is changed in the manifest. */
function folderOf(plugins: Readonly<Record<string, (manifest: string) => string>>): string {
  const folder = join(root, `set${folders++}`);
  for (const [id, change] of Object.entries(plugins)) {
    mkdirSync(join(folder, id), { recursive: true });
    writeFileSync(join(folder, id, "plugin.toml"), change(`id = "${id}"\n${MANIFEST}`));
  }
  return folder;
}

const same = (manifest: string) => manifest;
const A = "com.example.a";
const B = "com.example.b";

interface Setup {
  readonly folder: string;
  readonly grants?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly settings?: Readonly<Record<string, unknown>>;
  readonly plugins?: Partial<PluginHostOptions["config"]["plugins"]>;
  readonly hooks?: PluginHostOptions["config"]["hooks"];
}

async function load({ folder, grants = {}, settings = {}, plugins = {}, hooks = [] }: Setup) {
  const lines: string[] = [];
  const level = (name: string) => (event: string, fields?: object) =>
    lines.push(`${name} ${event} ${JSON.stringify(fields)}`);
  const log: Log = {
    debug: level("debug"),
    info: level("info"),
    warn: level("warn"),
    error: level("error"),
    child: () => log,
  };
  const written: string[] = [];
  const specs: ScriptSpec[] = [];
  const calls: string[] = [];
  const loaded = await loadPlugins({
    config: {
      plugins: pluginsSection({
        folders: [folder],
        allow_unsigned: [A, B],
        allow_unsandboxed: [A, B],
        ...plugins,
      }),
      plugin: Object.fromEntries(Object.entries(grants).map(([id, own]) => [id, { grants: own, settings }])),
      hooks,
    },
    hostVersion: "0.3.0",
    createTransport: spec => {
      assert.ok(spec.kind === "script");
      specs.push(spec);
      return {
        start: async () => {
          calls.push(`start ${spec.pluginId}`);
        },
        destination: "test",
        call: async () => Buffer.from("{}"),
        health: async () => ({ status: "degraded", detail: "tired" }),
        stop: async () => {
          calls.push(`stop ${spec.pluginId}`);
        },
      };
    },
    secrets: fixedSecrets,
    log,
    logs: {
      write: (id, line) => written.push(`${id} ${line}`),
      dropped: (id, lost) => written.push(`${id} ${lost}`),
    },
  });
  return {
    ...loaded,
    lines,
    written,
    specs,
    calls,
    states: loaded.host.list().map(({ id, state }) => `${id} ${state}`),
    refused: loaded.refused.map(error => error.message).join(),
  };
}

const READ = { read_headers: true, write_tags: true };

test("a plugin with grants and no hook row runs in shadow, by its manifest", async () => {
  const { host, hooks, specs, states, calls } = await load({
    folder: folderOf({ [A]: same }),
    grants: { [A]: READ },
  });
  assert.deepEqual(states, [`${A} enabled`]);
  assert.deepEqual(
    hooks.map(({ name, point, plugin, mode, timeout_ms, on_error }) => [
      name,
      point,
      plugin,
      mode,
      timeout_ms,
      on_error,
    ]),
    [[A, "pre_delivery", A, "shadow", 2000, "tempfail"]],
  );
  assert.deepEqual([specs[0]?.command, specs[0]?.workers], [["true"], 1]);
  const plugin = host.find(A);
  assert.deepEqual(
    [plugin?.version, plugin?.wallTimeMs, plugin?.grants.read_headers, plugin?.grants.move_message],
    ["1.2.0", 1500, true, false],
  );
  await host.start(deadlineAfter(1000));
  assert.deepEqual(await host.health(), { status: "degraded", detail: `${A}: degraded (tired)` });
  await host.stop(deadlineAfter(1000));
  assert.deepEqual(calls, [`start ${A}`, `stop ${A}`]);
});

test("a row of the configuration replaces those of the manifest, and enables a plugin without any grant", async () => {
  const { hooks, host } = await load({
    folder: folderOf({ [A]: same }),
    hooks: [rowOf("mine", { plugin: A })],
  });
  assert.deepEqual(
    hooks.map(({ name, mode }) => [name, mode]),
    [["mine", "enforce"]],
  );
  assert.equal(host.find(A)?.grants.read_headers, false);
});

test("a plugin that nobody asks for stays disabled, whatever its manifest wants", async () => {
  const { states, specs, hooks } = await load({ folder: folderOf({ [A]: same }) });
  assert.deepEqual([states, specs, hooks], [[`${A} disabled`], [], []]);
});

test("enabled, allow and deny are applied before anything is loaded; deny is stronger", async () => {
  const folder = folderOf({ [A]: same, [B]: same });
  const grants = { [A]: READ, [B]: READ };
  const states = async (plugins: Setup["plugins"]) =>
    (await load({ folder, grants, ...(plugins ? { plugins } : {}) })).states.join(", ");
  assert.equal(await states({ enabled: false }), `${A} disabled, ${B} disabled`);
  assert.equal(await states({ enabled: [B] }), `${A} disabled, ${B} enabled`);
  assert.equal(await states({ allow: [A] }), `${A} enabled, ${B} disabled`);
  assert.equal(await states({ allow: [A], deny: [A] }), `${A} disabled, ${B} disabled`);
  const { hooks, specs } = await load({
    folder,
    grants,
    plugins: { enabled: false },
    hooks: [rowOf("x", { plugin: A })],
  });
  assert.deepEqual([hooks, specs], [[], []]);
});

test("without a signature a plugin is refused until it is named, and its hooks fail by their policy", async () => {
  const folder = folderOf({ [A]: same });
  const { refused, hooks, specs, host } = await load({
    folder,
    grants: { [A]: READ },
    plugins: { allow_unsigned: [] },
    hooks: [rowOf("x", { plugin: A })],
  });
  assert.match(refused, /no signature; plugins\.allow_unsigned = \["com\.example\.a"\]/);
  assert.deepEqual([specs.length, hooks.length, host.find(A)?.transport], [0, 1, undefined]);
  assert.match(host.find(A)?.failure ?? "", /allow_unsigned/);
  const one = await load({ folder, grants: { [A]: READ }, plugins: { allow_unsigned: [] } });
  assert.deepEqual([one.refused === "", one.specs.length, one.hooks.length], [false, 0, 0]);
});

test("grants: their shape, what the manifest asks for, and the prerequisites are checked again", async () => {
  const folder = folderOf({ [A]: same });
  const refusal = async (grants: Readonly<Record<string, unknown>>) =>
    (await load({ folder, grants: { [A]: grants } })).refused;
  assert.equal(
    await refusal({ read_headers: true, read_body: "preview", move_message: true, decide: ["reject"] }),
    "",
  );
  assert.match(
    await refusal({ read_header: true }),
    /grants\.read_header: found an unknown key.*did you mean "read_headers"/,
  );
  assert.match(await refusal({ read_body: "some" }), /grants\.read_body: found "some"/);
  assert.match(await refusal({ send_mail: true }), /grants\.send_mail goes beyond/);
  assert.match(await refusal({ read_headers: true, decide: ["tempfail"] }), /grants\.decide goes beyond/);
  assert.match(await refusal({ write_tags: true }), /PERM_DEP_TAGS/);
  assert.match(await refusal({ read_headers: true, move_message: true }), /PERM_DEP_MOVE/);
});

test("what is valid but not built is refused by name when the plugin is enabled, not when it is read", async () => {
  const refusal = async (grants: Readonly<Record<string, unknown>>, change = same) => {
    const folder = folderOf({ [A]: change });
    assert.deepEqual((await load({ folder })).states, [`${A} disabled`]);
    return (await load({ folder, grants: { [A]: grants } })).refused;
  };
  const read = { read_headers: true };
  const notBuilt = (what: string) => new RegExp(`${what}.* is not built in this version`);
  const asksToSend = (text: string) => text.replace("[permissions]\n", "$&send_mail = true\n");
  assert.match(await refusal({ ...read, send_mail: true }, asksToSend), notBuilt("the grant send_mail"));
  assert.match(
    await refusal(read, text =>
      text.replace(/protocol[\s\S]*?(?=\[hooks\])/, 'protocol = "grpc"\nendpoint = "a:1"\n'),
    ),
    notBuilt("every protocol but http, unix and script"),
  );
  assert.match(await refusal(read, text => `${text}[caps]\nreject_per_hour = 1\n`), notBuilt("\\[caps\\]"));
  assert.match(await refusal(read, text => `${text}[logging]\nlevel = "debug"\n`), notBuilt("\\[logging\\]"));
});

test("a hook at a point that the manifest does not name is refused", async () => {
  const folder = folderOf({ [A]: text => text.replace('"pre_delivery"', '"pre_receive"') });
  const { refused } = await load({ folder, grants: { [A]: READ }, hooks: [rowOf("x", { plugin: A })] });
  assert.match(refused, /hook "x" is at pre_delivery, which hooks\.on of the manifest does not name/);
});

test("settings: defaults filled in, all errors, secrets not repeated", async () => {
  const folder = folderOf({
    [A]: text =>
      `${text}[settings.n]\ntype = "integer"\ndefault = 5\nmax = 9\n[settings.mode]\ntype = "enum"\nvalues = ["x", "y"]\n[settings.key]\ntype = "secret"\n[settings.free]\ntype = "string"\n`,
  });
  const good = await load({ folder, grants: { [A]: READ }, settings: { mode: "y", key: "s" } });
  assert.deepEqual(good.host.find(A)?.settings, { n: 5, mode: "y", key: "s" });
  const bad = await load({
    folder,
    grants: { [A]: READ },
    settings: { n: 10, mode: "z", key: 12345, other: 1 },
  });
  for (const text of [
    /settings\.n: found 10/,
    /settings\.mode: found "z", allowed: "x", "y"/,
    /settings\.key: found another type/,
    /settings\.other: found an unknown key/,
  ]) {
    assert.match(bad.refused, text);
  }
  assert.ok(!bad.refused.includes("12345"));
});

test("dependencies: started in order; missing, too old and cyclic ones are refused, and who needs them", async () => {
  const depends = (text: string) => (manifest: string) =>
    manifest.replace("[entry]", `depends = ["${text}"]\n[entry]`);
  const grants = { [A]: READ, [B]: READ };
  const good = await load({ folder: folderOf({ [A]: depends(`${B}>=1.2.0`), [B]: same }), grants });
  assert.deepEqual(
    good.specs.map(({ pluginId }) => pluginId),
    [B, A],
  );
  const old = await load({ folder: folderOf({ [A]: depends(`${B}>=1.3.0`), [B]: same }), grants });
  assert.match(old.refused, /depends on "com\.example\.b>=1\.3\.0", found version 1\.2\.0/);
  const missing = await load({
    folder: folderOf({ [A]: depends(B), [B]: depends("com.example.c") }),
    grants,
  });
  assert.match(missing.refused, /"com\.example\.c", which is not enabled/);
  assert.deepEqual(missing.specs, []);
  const cyclic = await load({ folder: folderOf({ [A]: depends(B), [B]: depends(A) }), grants });
  assert.match(cyclic.refused, /depends on itself/);
  assert.deepEqual(cyclic.specs, []);
});

test("a broken manifest, a missing folder and an id twice are told and stop nothing else", async () => {
  const folder = folderOf({ [A]: same, [B]: () => "id = 5" });
  const { states } = await load({
    folder,
    grants: { [A]: READ },
    plugins: { folders: [folder, "/nonexistent", folderOf({ [A]: same })] },
  });
  assert.deepEqual(states, [`${A} enabled`]);
  const { refused, states: asked } = await load({ folder, grants: { [B]: READ } });
  assert.match(refused, /there is none in plugins\.folders, or its manifest has errors/);
  assert.deepEqual(asked, [`${A} disabled`, `${B} refused`]);
});

test("a folder can be a plugin itself", async () => {
  const folder = folderOf({ [A]: same });
  assert.deepEqual((await load({ folder: join(folder, A), grants: { [A]: READ } })).states, [`${A} enabled`]);
});

test("what a plugin writes to stderr goes to the plugin's log, not to that of the service", async () => {
  const { specs, lines, written } = await load({ folder: folderOf({ [A]: same }), grants: { [A]: READ } });
  specs[0]?.onLog("Subject: CANARY");
  specs[0]?.onLogDropped(7);
  assert.deepEqual(written, [`${A} Subject: CANARY`, `${A} 7`]);
  assert.ok(!lines.join().includes("CANARY"));
});

test("an enforced hook whose plugin is switched off is told by name, and the health says so", async () => {
  const folder = folderOf({ [A]: same, [B]: same });
  const hooks = [
    rowOf("x", { plugin: A }),
    rowOf("y", { plugin: B }),
    rowOf("z", { plugin: A, mode: "shadow" }),
  ];
  const cases: ReadonlyArray<readonly [NonNullable<Setup["plugins"]>, string]> = [
    [{ deny: [A] }, "plugins.deny names it"],
    [{ allow: [B] }, "plugins.allow does not name it"],
    [{ enabled: [B] }, "plugins.enabled does not name it"],
  ];
  for (const [plugins, reason] of cases) {
    const { lines, host } = await load({ folder, hooks, plugins });
    const told = lines.filter(line => line.includes("hook_off"));
    assert.equal(told.length, 1, lines.join("\n"));
    assert.match(told[0] ?? "", /^warn hook_off .*"hook":"x","plugin":"com\.example\.a"/);
    assert.ok(told[0]?.includes(reason));
    const health = await host.health();
    assert.equal(health.status, "degraded");
    assert.ok(health.detail?.includes(`hook x is off: ${A}: ${reason}`), health.detail);
  }
});

test("all plugins switched off is somebody's will: one line, and the health stays ok and names the hooks", async () => {
  const { lines, host } = await load({
    folder: folderOf({ [A]: same }),
    hooks: [rowOf("x", { plugin: A }), rowOf("y", { plugin: A })],
    plugins: { enabled: false },
  });
  assert.deepEqual(
    lines.map(line => line.split(" ", 2).join(" ")),
    ["info hooks_off"],
  );
  assert.deepEqual(await host.health(), { status: "ok", detail: "hooks off: x, y" });
});

test("a hook whose plugin is refused is an error that says what happens to mail", async () => {
  const hooks = [
    rowOf("x", { plugin: A }),
    rowOf("y", { plugin: A, on_error: "allow" }),
    rowOf("z", { plugin: A, mode: "shadow" }),
    rowOf("w", { plugin: "com.example.none", on_error: "reject" }),
  ];
  const { lines, host, idleHooks } = await load({
    folder: folderOf({ [A]: same }),
    hooks,
    plugins: { allow_unsigned: [] },
  });
  const told = lines.filter(line => line.startsWith("error hook_refused"));
  const fields = told.map(line => JSON.parse(line.slice(line.indexOf("{"))));
  assert.deepEqual(
    fields.map(({ hook, plugin, mail }) => [hook, plugin, mail]),
    [
      ["x", A, 'is deferred: on_error is "tempfail"'],
      ["y", A, 'passes unchecked: on_error is "allow"'],
      ["z", A, "is not changed: the hook is in shadow"],
      ["w", "com.example.none", 'is rejected: on_error is "reject"'],
    ],
  );
  assert.match(fields[0].reason, /^it has no signature/);
  assert.equal(idleHooks.length, 4);
  const health = await host.health();
  assert.equal(health.status, "degraded");
  assert.equal(health.detail?.split(A).length, 3, health.detail);
});
