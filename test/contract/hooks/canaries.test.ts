/**
 * S1 where payloads leave: every grant that reads × every point × every message of `canary-mail.ts` × every transport (a process a
 * call, and the sandbox: a sample), through the whole hook chain. What reached the plugin is looked through byte by byte, and so are the ledger (its spool and its rows), the log at
 * level debug and the events.
 */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { hookMetrics } from "../../../src/compose/hook-metrics.ts";
import type { HookPlugin } from "../../../src/core/hook-plugin.ts";
import { callId } from "../../../src/core/ids.ts";
import { grantsOf } from "../../../src/core/permissions-grants.ts";
import type { HookPoint } from "../../../src/core/ports/hooks.ts";
import type { LedgerEntry } from "../../../src/core/ports/ledger.ts";
import { openLedgerFiles } from "../../../src/hooks/ledger-files.ts";
import { LedgerLoader } from "../../../src/hooks/ledger-loader.ts";
import { LedgerSpool } from "../../../src/hooks/ledger-spool.ts";
import { createHookRunner } from "../../../src/hooks/runner.ts";
import { deadlineAfter } from "../../../src/platform/deadline.ts";
import { createLog } from "../../../src/platform/log.ts";
import { createMetrics } from "../../../src/platform/metrics.ts";
import { uuid7Generator } from "../../../src/platform/uuid7.ts";
import { keepLedgerEntries } from "../../../src/store/ledger.ts";
import { HOOK_POINTS } from "../../../src/wire/config/hooks.ts";
import type { PermissionsInput } from "../../../src/wire/permissions.ts";
import {
  Haystack,
  isGranted,
  leaksIn,
  missingIn,
  READ_GRANTS,
  type Secret,
  sha256,
} from "../../lib/canaries.ts";
import { canaryFacts, canaryProvenance } from "../../lib/canary-facts.ts";
import { type CanaryMail, canaryMail } from "../../lib/canary-mail.ts";
import { silentLog, startTestDatabase, type TestDatabase } from "../../lib/database.ts";
import { rowOf } from "../../unit/hooks/rig.ts";
import { rigOf } from "../runtimes/sandbox/rig.ts";
import { type NextAnswer, type Recorder, startRecorders } from "./recorders.ts";

const CHAIN_MS = 20_000;
/** In turn, so that no plugin fails so often that it is not called any more. */
const ANSWERS: readonly NextAnswer[] = [
  "{}",
  '{"tags":{"add":["x"]},"folder":"A","verdict":1}',
  "echo",
  "broken",
];
/** A process a call is dear, and so is the sandbox: there, each set of grants at each point meets one message of this many, and each message all points. */
const SPAWN_SHARE = 7;
/** What else a line of the log and an event may say: whom and what it is about. */
const SHOWN = new Set(["recipient", "queueId"]);

const folder = mkdtempSync(join(tmpdir(), "mr-canaries-"));
const lines: string[] = [];
const newId = uuid7Generator();
const sandbox = await rigOf(process.getuid?.() === 0 ? 3 : 2);
let recorders: readonly Recorder[];
let database: TestDatabase;
let spool: LedgerSpool;
let runner: ReturnType<typeof createHookRunner>;

const hookName = (transport: number, grants: number, point: HookPoint) => `t${transport}.g${grants}.${point}`;

before(async () => {
  database = await startTestDatabase();
  if (sandbox.missing !== undefined) throw new Error(`no tier with namespaces: ${sandbox.missing}`);
  recorders = await startRecorders(folder, sandbox.sandbox);
  for (const { transport } of recorders) await transport.start(deadlineAfter(CHAIN_MS));
  const plugins = new Map<string, HookPlugin>();
  const hooks = recorders.flatMap(({ transport }, t) =>
    READ_GRANTS.flatMap((grants, g) => {
      plugins.set(`t${t}.g${g}`, pluginWith(`t${t}.g${g}`, transport, grants));
      return HOOK_POINTS.map(point =>
        rowOf(hookName(t, g, point), { point, plugin: `t${t}.g${g}`, timeout_ms: 5000, parallel: true }),
      );
    }),
  );
  runner = createHookRunner({
    plugins: { find: id => plugins.get(id) },
    hooks,
    log: createLog({
      level: "debug",
      format: "json",
      hash_addresses: false,
      write: line => lines.push(line),
    }),
    metrics: hookMetrics(createMetrics({ process: false })),
    now: () => new Date(),
    newCallId: () => callId(newId()),
    payloadBytesInFlight: 256 * 1024 * 1024,
    ledger: { record: (entry, deadline) => spool.record(entry, deadline) },
  });
});
after(async () => {
  for (const { transport, stop } of recorders) {
    await transport.stop(deadlineAfter(CHAIN_MS));
    await stop();
  }
  sandbox.close();
  await database.stop();
  rmSync(folder, { recursive: true, force: true });
});

function pluginWith(id: string, transport: HookPlugin["transport"], grants: PermissionsInput): HookPlugin {
  return {
    id,
    version: "1.0.0",
    grants: grantsOf(grants),
    settings: {},
    wallTimeMs: Number.POSITIVE_INFINITY,
    onViolation: () => "drop",
    transport,
    failure: undefined,
  };
}

for (const [number, mail] of canaryMail().entries()) {
  test(`canaries on every transport: ${mail.name}`, async () => {
    const facts = canaryFacts(mail);
    const ledger = await openLedger(join(folder, `ledger-${number}`));
    const said: unknown[] = [];
    const sent: string[] = [];
    lines.length = 0;
    for (const [g, grants] of READ_GRANTS.entries()) {
      for (const [p, point] of HOOK_POINTS.entries()) {
        const called = recorders.filter(({ isDear }) => !isDear || (number + g + 2 * p) % SPAWN_SHARE === 0);
        for (const recorder of called) recorder.answer(ANSWERS[(number + p) % ANSWERS.length] ?? "{}");
        const only = new Set(called.map(recorder => hookName(recorders.indexOf(recorder), g, point)));
        const deadline = deadlineAfter(CHAIN_MS);
        const { events } = await runner.run(point, facts, deadline, {
          only,
          provenance: canaryProvenance(mail),
        });
        deadline.dispose();
        said.push(events);
        const checked: Checked = new Set();
        for (const recorder of called) sent.push(checkReceived(recorder, mail, grants, point, checked));
      }
    }
    const shown = secretsBut(mail, SHOWN);
    assert.deepEqual(leaksIn(new Haystack(Buffer.from(lines.join(""))), shown, never), [], "log");
    assert.deepEqual(leaksIn(new Haystack(Buffer.from(JSON.stringify(said))), shown, never), [], "events");
    assert.ok(lines.length >= sent.length / ANSWERS.length / 2, "broken answers are in the log");
    await ledger.check(mail, sent);
  });
}

const never = () => false;
const secretsBut = ({ secrets, around }: CanaryMail, names: ReadonlySet<string>): readonly Secret[] => {
  const known = new Set(Object.entries(around).flatMap(([name, token]) => (names.has(name) ? [token] : [])));
  return secrets.filter(({ token }) => token === undefined || !known.has(token));
};

/** Of one point and one set of grants: payloads that were looked through, without what tells one call from another. */
type Checked = Set<string>;

/** What differs from call to call, and can hold nothing else. */
const CALL_OWN = /"call_id":"[0-9a-f-]{36}"|"deadline_ms":\d+|"id":"t\d\.g\d+"/g;

/** @returns the digest of the payload, as the ledger must have it */
function checkReceived(
  recorder: Recorder,
  mail: CanaryMail,
  grants: PermissionsInput,
  point: HookPoint,
  checked: Checked,
): string {
  const where = `${recorder.name}, ${point}, ${JSON.stringify(grants)}`;
  const { around, payload } = recorder.received();
  const text = payload.toString("latin1");
  const ours = recorder.isTranslated
    ? '^\\{"context":\\{"stage":"data"'
    : `^\\{"api":"mairust.hook/1",.*"hook":"${point}"`;
  assert.match(text, new RegExp(ours), where);
  const allowed = (need: Secret["need"]) => isGranted(need, grants, point);
  const beside = new Haystack(around);
  assert.deepEqual(leaksIn(beside, mail.secrets, never), [], `beside the payload: ${where}`);
  const known = text.replace(CALL_OWN, "");
  if (!checked.has(known)) {
    const haystack = new Haystack(payload);
    assert.deepEqual(leaksIn(haystack, mail.secrets, allowed), [], `beyond the grant: ${where}`);
    if (!recorder.isTranslated)
      assert.deepEqual(missingIn(haystack, mail.secrets, allowed), [], `granted and not there: ${where}`);
    checked.add(known);
  }
  return sha256(payload);
}

async function openLedger(dir: string) {
  const files = await openLedgerFiles(dir);
  spool = new LedgerSpool({ files, now: Date.now });
  await spool.open();
  const keep = (entries: readonly LedgerEntry[]) => keepLedgerEntries(database.db, entries);
  const loader = new LedgerLoader({ spool, files, keep, log: silentLog, now: Date.now });
  return {
    /** @param sent  digests of what arrived, in any order */
    async check(mail: CanaryMail, sent: readonly string[]) {
      const secrets = secretsBut(mail, new Set(["queueId"]));
      const spooled = Buffer.concat(readdirSync(dir).map(name => readFileSync(join(dir, name))));
      const written = spooled.subarray(0, spooled.lastIndexOf(10) + 1);
      assert.ok(written.length > sent.length * 100, "the spool holds the calls");
      assert.deepEqual(leaksIn(new Haystack(written), secrets, never), [], "spool");
      await loader.load();
      await spool.close();
      const rows = await database.db.query<{ row: string; digest: string }>`
        select to_jsonb(ledger)::text as row, digest from ledger`;
      await database.db.run`delete from ledger`;
      assert.deepEqual(leaksIn(new Haystack(Buffer.from(JSON.stringify(rows))), secrets, never), [], "rows");
      assert.deepEqual(
        rows.map(({ digest }) => digest).sort(),
        [...sent].sort(),
        "what left is what is recorded",
      );
    },
  };
}
