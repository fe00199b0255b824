/** The blob collector with processes that are killed: at each of its steps, and at random times under load. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { blobDigest } from "../../../src/core/ids.ts";
import { packageRoot } from "../../../src/platform/package-root.ts";
import type { ChildPlan } from "../../lib/blob-gc-child.ts";
import { makeRig, type Rig, someBytes } from "./blob-gc-rig.ts";

const CHILD = join(packageRoot(), "build/test/lib/blob-gc-child.js");
/** How long the random test runs; more finds more. */
const STRESS_MS = 6_000;
/** Until a child has opened its database on a busy machine. */
const READY_MS = 60_000;
const CONTENTS = 12;

let rig: Rig;
before(async () => {
  rig = await makeRig();
});
after(() => rig.stop());

interface Child {
  readonly process: ChildProcess;
  readonly ready: Promise<void>;
  readonly exited: Promise<unknown>;
}

const said: string[] = [];

function start(work: ChildPlan["work"]): Child {
  const plan: ChildPlan = {
    target: rig.database.target,
    folder: rig.folder,
    accountId: rig.target.accountId,
    work,
    contents: CONTENTS,
  };
  const child = spawn(process.execPath, [CHILD, JSON.stringify(plan)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = once(child, "exit");
  const ready = new Promise<void>((resolve, reject) => {
    child.stdout.on("data", chunk => {
      said.push(String(chunk));
      resolve();
    });
    child.once("exit", code => reject(new Error(`the child ended with ${code}`)));
  });
  ready.catch(() => undefined);
  return { process: child, ready, exited };
}

async function waitUntil(what: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + READY_MS;
  while (!(await what())) {
    assert.ok(performance.now() < end, "in time");
    await new Promise(resolve => setTimeout(resolve, 20));
  }
}

/** What a killed process had begun is rolled back only when the server notices that it is gone. */
function untilAlone(): Promise<void> {
  return waitUntil(async () => {
    const rows = await rig.node.db.query`
      select pid from pg_stat_activity where state <> 'idle' and pid <> pg_backend_pid() and datname = current_database()`;
    return rows.length === 0;
  });
}

for (const step of ["marking", "removing", "removed"] as const) {
  test(`a collector killed at "${step}" leaves what the next one ends, and a delivery in between is whole`, async () => {
    const [bytes, other] = [someBytes(), someBytes()];
    const digests = [];
    for (const one of [bytes, other]) {
      digests.push((await rig.node.stage(one)).digest);
      await rig.deleteMessages(await rig.node.deliver(one, rig.target));
    }
    await rig.makeOld();
    const child = start(step);
    assert.deepEqual(await child.exited, [null, "SIGKILL"]);
    await untilAlone();
    const state = step === "marking" ? "live" : "marked";
    for (const digest of digests) {
      assert.equal(await rig.stateOf(digest), state);
      assert.equal(rig.exists(digest), step !== "removed");
    }
    await rig.node.deliver(bytes, rig.target);
    assert.ok((await rig.node.collect()).blobs >= 1);
    await rig.node.blobs.verify(blobDigest(digests[0] ?? ""));
    assert.deepEqual([rig.exists(digests[1] ?? ""), await rig.stateOf(digests[1] ?? "")], [false, "removed"]);
  });
}

test("deliveries, deletions and collectors of several nodes, killed at random: every message has its bytes", async () => {
  const end = performance.now() + STRESS_MS;
  const works: readonly ChildPlan["work"][] = ["put", "put", "collect", "collect"];
  const children = works.map(start);
  await Promise.all(children.map(child => child.ready));
  let kills = 0;
  while (performance.now() < end) {
    await new Promise(resolve => setTimeout(resolve, 100 + Math.random() * 400));
    const at = Math.floor(Math.random() * children.length);
    const [victim, work] = [children[at], works[at]];
    if (victim === undefined || work === undefined) continue;
    victim.process.kill("SIGKILL");
    await victim.exited;
    kills += 1;
    children[at] = start(work);
    await children[at]?.ready;
  }
  for (const child of children) {
    child.process.kill("SIGKILL");
    await child.exited;
  }
  await untilAlone();
  const digests = await rig.node.db.query<{ digest: string; state: string }>`
    select distinct encode(blob_digest, 'hex') as digest from messages`;
  for (const { digest } of digests) {
    await rig.node.blobs.verify(blobDigest(digest));
    assert.equal(await rig.stateOf(digest), "live");
  }
  const text = said.join("");
  const count = (what: RegExp) => [...text.matchAll(what)].length;
  assert.ok(kills > 0 && digests.length > 0);
  assert.ok(count(/^collected /gmu) > 0, "the collectors had work");
  assert.ok(count(/^blob revived/gmu) > 0, "deliveries met what was collected");
  process.stdout.write(
    `# ${kills} kills, ${count(/^collected /gmu)} collections, ${count(/^blob revived/gmu)} revived, ${count(/^refused /gmu)} refused\n`,
  );
});
