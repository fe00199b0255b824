/** How far hooks go, in a whole service with a real plugin: promotion by figures, demotion of hooks by file, bypass, usage, commands. */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { makeScratch } from "../../../src/mailhost/scratch.ts";
import { LmtpTestClient } from "../../lib/lmtp-client.ts";
import { command } from "./command.ts";
import { type RunningService, startService } from "./service.ts";

const ID = "com.example.fickle";
const HOOKS = "/api/v1/admin/hooks";
const MIN_CALLS = 4;
/** Answers by the subject. */
const PROGRAM = `
import { createInterface } from "node:readline";
for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  if (request.mairust) {
    console.log(JSON.stringify({ mairust: 1, plugin: ${JSON.stringify(ID)}, version: "1.0.0", api: ["1"] }));
    continue;
  }
  const subject = request.headers?.[0]?.value;
  const usage = { input_tokens: 7, output_tokens: 3, cost_usd: 0.001 };
  console.log(subject === "garbage" ? "none" : JSON.stringify({ tags: { add: ["seen"] }, folder: "Sorted", usage }));
}
`;

const scratch = await makeScratch();
let running: RunningService;
let sent = 0;

before(async () => {
  const folder = join(scratch.dir, ID);
  mkdirSync(folder);
  writeFileSync(join(folder, "main.mjs"), PROGRAM);
  const rights = "read_headers = true\nread_body = 'preview'\nwrite_tags = true\nmove_message = true\n";
  writeFileSync(
    join(folder, "plugin.toml"),
    `id = "${ID}"\nname = "F"\nversion = "1.0.0"\n[entry]\ntype = "hook"\nprotocol = "script"\ncommand = ["node", "main.mjs"]
[hooks]\non = ["pre_delivery"]\n[permissions]\n${rights}[caps]\nmove_per_hour = 100\n[budget]\ncalls_per_day = 1000\n`,
  );
  const file = `{ name = "filed", point = "pre_delivery", plugin = "${ID}", mode = "enforce", on_error = "allow", filter = { recipient = "filed@.*" }, demote = { min_calls = ${MIN_CALLS} } }`;
  running = await startService([
    "plugins.enabled=true",
    `plugins.folders=${JSON.stringify([folder])}`,
    `plugins.allow_unsigned=["${ID}"]`,
    `plugins.allow_unsandboxed=["${ID}"]`,
    `plugin."${ID}".grants={ read_headers = true, read_body = "preview", write_tags = true, move_message = true }`,
    `plugin."${ID}".caps={ move_per_hour = 50 }`,
    `plugin."${ID}".budget={ calls_per_day = 500 }`,
    `hooks=[${file}]`,
  ]);
});
after(async () => {
  await running?.stop();
  await scratch.remove();
});

const run = (...args: readonly string[]) => command(running.site.configFile, args);

/** @returns the calls of the hook, from the timeline */
async function deliver(to: string, subject: string): Promise<readonly Record<string, unknown>[]> {
  sent += 1;
  const queueId = `4QMODE${sent}`;
  const address = running.service.addresses().find(({ name }) => name === "lmtp")?.address ?? "";
  const client = await LmtpTestClient.open(Number(address.split(":").at(-1)));
  const message = Buffer.from(`Subject: ${subject}\r\nMessage-ID: <${sent}@x.example>\r\n\r\nbody\r\n`);
  assert.match(String(await client.deliver([to], message, queueId)), /^250 /u);
  client.close();
  for (let i = 0; i < 500; i++) {
    const { body } = await running.ask("GET", `/api/v1/messages/${queueId}/timeline`);
    const calls = (body.events as { kind: string; data: Record<string, unknown> }[]).filter(
      ({ kind }) => kind === "hook_call",
    );
    if (calls.length > 0) return calls.map(({ data }) => data);
    await new Promise(done => setTimeout(done, 20));
  }
  return [];
}

const show = async (name: string) => (await running.ask("GET", `${HOOKS}/${name}`)).body;

test("a hook is promoted step by step when its figures allow it, and refused with the figures when not", async () => {
  const added = await run(
    ...["hook", "add", "row", "--plugin", ID, "--point", "pre_delivery", "--recipient", "row@.*"],
    ...["--set", `demote.min_calls=${MIN_CALLS}`],
  );
  assert.equal(added.code, 0, added.err);
  await deliver("row@example.test", "good");
  const few = await run("hook", "promote", "row");
  assert.notEqual(few.code, 0);
  assert.match(few.err, /1 calls within 300 s, 4 are needed; --force does it all the same/u);
  for (let i = 1; i < MIN_CALLS; i++) await deliver("row@example.test", "good");
  const dry = await run("hook", "promote", "row", "--dry-run");
  assert.match(dry.err, /would promote hook row to canary/u);
  assert.equal((await show("row")).mode, "shadow");
  const canary = await run("hook", "promote", "row", "-f", "json");
  assert.equal(canary.code, 0, canary.err);
  const promoted = JSON.parse(canary.out);
  assert.deepEqual([promoted.from, promoted.to, promoted.figures.calls], ["shadow", "canary", MIN_CALLS]);
  assert.equal((await run("hook", "promote", "row", "--force")).code, 0);
  assert.equal((await show("row")).mode, "enforce");
  assert.match((await run("hook", "promote", "row")).err, /it is enforced already/u);
});

test("hook diffs names what would have been otherwise, without text of the mail", async () => {
  const { code, out, err } = await run("hook", "diffs", "row", "-f", "json");
  assert.equal(code, 0, err);
  assert.match(err, /4 of 4 calls of the last day would have made a difference: folder 4, tags 4/u);
  const [diff] = JSON.parse(out);
  assert.deepEqual(diff.differences, [
    { field: "folder", would: "Sorted", was: "" },
    { field: "tags", would: "+seen", was: "" },
  ]);
  assert.equal(diff.recipient, "row@example.test");
  assert.match((await run("hook", "list", "-f", "table")).out, /row .* 4 of 4 differ/u);
  assert.equal((await run("hook", "diffs", "none")).code, 66);
});

test("hook mode takes a canary by share or by name, and not both", async () => {
  assert.equal((await run("hook", "mode", "row", "canary", "--for", "row@example.test")).code, 0);
  assert.deepEqual((await show("row")).canary_for, ["row@example.test"]);
  assert.deepEqual(
    (await deliver("row@example.test", "x")).map(({ mode, configured }) => [mode, configured]),
    [["enforce", "canary"]],
  );
  assert.equal((await run("hook", "mode", "row", "canary", "--percent", "0")).code, 0);
  assert.deepEqual(
    (await deliver("row@example.test", "x")).map(({ mode }) => mode),
    ["shadow"],
  );
  assert.equal((await run("hook", "mode", "row", "canary", "--percent", "5", "--for", "a.test")).code, 64);
  const wrong = await running.ask("POST", `${HOOKS}/row/mode`, {
    body: { mode: "canary", canary_for: ["not an address"] },
    headers: { "if-match": `"${(await show("row")).version}"` },
  });
  assert.match(JSON.stringify(wrong.body), /a mail address or a domain name/u);
});

test("a hook by file that fails is demoted, says why, and goes on by a word, though its file is locked", async () => {
  // Not in a row: that is the breaker's matter.
  for (const subject of ["good", "good", "good", "garbage"])
    assert.equal((await deliver("filed@example.test", subject))[0]?.mode, "enforce");
  assert.equal((await deliver("filed@example.test", "good"))[0]?.mode, "shadow");
  const demoted = await show("filed");
  assert.deepEqual([demoted.mode, demoted.effective_mode, demoted.state], ["enforce", "shadow", "demoted"]);
  assert.match(String(demoted.reason), /1 of 4 calls failed within 300 s, the threshold is 5 %/u);
  assert.match(
    (await run("hook", "list", "-f", "table")).out,
    /filed .*shadow \(demoted from enforce\) +demoted/u,
  );
  assert.match((await run("readyz")).out, /hook filed is demoted/u);
  assert.match((await run("hook", "mode", "filed", "shadow")).err, /set in/u);
  assert.equal((await run("hook", "mode", "filed", "enforce")).code, 0);
  assert.deepEqual(
    [(await show("filed")).effective_mode, (await show("filed")).state],
    ["enforce", "active"],
  );
  assert.equal((await deliver("filed@example.test", "good"))[0]?.mode, "enforce");
  // Nothing to restore any more: the lock holds.
  assert.match((await run("hook", "mode", "filed", "enforce")).err, /set in/u);
});

test("a bypass is on at once, told by readyz and the hooks, refused for typing errors, and off again", async () => {
  assert.equal((await run("bypass", "on", "--plugin", "com.example.fickel")).code, 66);
  assert.equal((await run("bypass", "on", "--for", "1 hour")).code, 64);
  const tried = await run("bypass", "on", "--plugin", ID, "--dry-run", "-f", "json");
  assert.deepEqual([JSON.parse(tried.out).length, tried.code], [1, 0], tried.err);
  assert.match((await run("bypass", "status")).err, /no bypass/u);
  assert.equal((await deliver("filed@example.test", "good"))[0]?.outcome, "ok");
  const on = await run("bypass", "on", "--plugin", ID, "--for", "1h", "-f", "json");
  assert.equal(on.code, 0, on.err);
  const [bypass] = JSON.parse(on.out);
  assert.deepEqual([bypass.plugin, Date.parse(bypass.until) - Date.parse(bypass.at)], [ID, 3_600_000]);
  assert.match(bypass.by, /^local/u);
  const [call] = await deliver("filed@example.test", "good");
  assert.deepEqual([call?.outcome, call?.policy, call?.bytes_sent], ["bypassed", "allow", 0]);
  assert.equal((await show("filed")).state, "bypassed");
  assert.match((await run("readyz")).out, new RegExp(`plugin ${ID}: calls are switched off until`, "u"));
  assert.equal((await run("bypass", "off", "--plugin", "com.example.none")).code, 66);
  const failed = JSON.parse((await run("audit", "--action", "bypass.off", "-f", "json")).out);
  assert.equal(failed[0]?.detail.failed, "not_found");
  assert.match((await run("bypass", "off", "--dry-run")).err, /nothing is changed.*\n.*no bypass/u);
  assert.equal((await show("filed")).state, "bypassed");
  assert.equal((await run("bypass", "off")).code, 0);
  assert.match((await run("bypass", "status")).err, /no bypass/u);
  assert.equal((await deliver("filed@example.test", "good"))[0]?.outcome, "ok");
});

test("plugin usage has calls, tokens and cost of the day, and the lower of both limits", async () => {
  const { code, out, err } = await run("plugin", "usage", ID, "-f", "json");
  assert.equal(code, 0, err);
  const [today, ...others] = JSON.parse(out);
  assert.deepEqual(others, []);
  assert.equal(today.day, new Date().toISOString().slice(0, 10));
  assert.ok(today.calls > 10 && today.input_tokens >= 7 && today.cost_usd > 0, out);
  assert.match(err, /500 calls a day; over it: error/u);
  assert.match(err, /move \d+ of 50 in the last hour/u);
  const metrics = (await running.ask("GET", "/metrics")).bytes.toString();
  assert.match(
    metrics,
    new RegExp(`mairust_plugin_tokens_total\\{plugin="${ID}",direction="input"\\} \\d`, "u"),
  );
  assert.match(metrics, new RegExp(`mairust_plugin_cost_usd_total\\{plugin="${ID}"\\} 0\\.`, "u"));
  assert.match(
    metrics,
    /mairust_hook_diffs_total\{hook="row",plugin="com.example.fickle",field="folder"\} /u,
  );
});
