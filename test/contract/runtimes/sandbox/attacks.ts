/**
 * S3: what a hostile plugin tries, in one tier. What the tier does not hold must stand in its report as such. After each attack the same
 * plugin and another one still answer.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import type { PluginTransport } from "../../../../src/core/ports/plugin-transport.ts";
import { LIMIT_NAMES } from "../../../../src/core/ports/sandbox.ts";
import { deadlineAfter, sleep } from "../../../../src/platform/deadline.ts";
import { findHierarchies } from "../../../../src/runtimes/sandbox/cgroup-mounts.ts";
import type { WalledTier } from "../../../../src/runtimes/sandbox/sandbox.ts";
import { ask, hasCode } from "../conformance.ts";
import {
  answerOf,
  CONFINED,
  FOLDER,
  noSleepers,
  type Rig,
  recovered,
  rigOf,
  sleepers,
  started,
} from "./rig.ts";

const isRoot = process.getuid?.() === 0;

/** What this process's sandboxes made where the system keeps temporary files. */
const ownFolders = () =>
  readdirSync(tmpdir())
    .filter(name => name.startsWith("mairust-sandbox-") && name.includes(`-${process.pid}-`))
    .map(name => join(tmpdir(), name));

/** @param tier  @returns the rig; its tests are registered, or one that says why they are skipped */
export async function attackTests(tier: WalledTier): Promise<void> {
  const rig = await rigOf(tier);
  after(() => rig.close());
  const who = isRoot ? "root" : `user ${process.getuid?.()}`;
  describe(`tier ${tier} as ${who}`, { skip: rig.missing ?? false }, () => registerAttacks(rig));
}

function registerAttacks(rig: Rig): void {
  const spaces = rig.tier >= 2;
  const attacker = rig.transport("com.example.attacker");
  const good = rig.transport("com.example.good");
  before(async () => {
    await started(good);
    await started(attacker);
  });
  after(() => Promise.all([attacker, good].map(one => one.stop(deadlineAfter(2000)))));
  afterEach(async () => {
    assert.equal(await answerOf(good, "good"), "good");
    assert.ok(await recovered(attacker), `it does not come back: ${rig.notices.slice(-3).join("; ")}`);
  });
  const reports = () => new Map((attacker.limits?.() ?? []).map(one => [one.limit, one]));
  const endedBy = async (attack: string, settings: Record<string, unknown>, why: RegExp) => {
    const crashes = rig.crashes.length;
    await assert.rejects(answerOf(attacker, attack, settings), why);
    assert.equal(rig.crashes.length, crashes + 1, "the crash rule hears of it once");
    assert.match(rig.crashes.at(-1) ?? "", why);
  };
  const refusedAll = (said: string, allowed: RegExp) => {
    for (const [name, came] of Object.entries(JSON.parse(said)))
      assert.match(String(came), allowed, `${name}: ${came}`);
  };

  test("there is one report for each limit, and it says what was tried", () => {
    assert.deepEqual([...reports().keys()], [...LIMIT_NAMES]);
    for (const one of reports().values()) assert.notEqual(one.evidence, "");
    const disk = rig.tier === 3 ? "enforced" : "best_effort";
    const expected = { files: "enforced", network: "enforced", disk, process_tree: "enforced" };
    for (const [limit, enforcement] of Object.entries(expected))
      assert.equal(reports().get(limit as "files")?.enforcement, enforcement, limit);
  });
  test("a loop is ended at its processor time", () => endedBy("spin", {}, /cpu limit: 400 ms(?!, between)/));
  test("loops of several processes are ended together", () => endedBy("spin_children", {}, /cpu limit/));
  test("one process cannot have more memory than the limit", async () => {
    assert.equal(await answerOf(attacker, "grow", { mib: 128 }), "MemoryError");
  });
  test("shared memory counts, though no limit of a process sees it", () =>
    endedBy("grow_shared", { mib: 160 }, /memory limit: 96 MiB/));
  test("several processes together cannot have more memory than the limit", () =>
    endedBy("grow_many", { mib: 40 }, /memory limit/));
  test("a fork bomb comes to its end, and nothing of it is left", async () => {
    const seconds = `${730_000 + rig.tier}.${process.pid}`;
    const one = await started(rig.transport("com.example.bomber"));
    const [count, why] = (await answerOf(one, "fork_bomb", { seconds })).split(" ");
    await one.stop(deadlineAfter(2000));
    assert.equal(why, "EAGAIN");
    assert.ok(Number(count) < 300, count);
    assert.ok(await noSleepers(seconds), "something of it is left");
  });
  test("a file, and all files together, have a size; so has shared memory", async t => {
    const fill = (where: string) => answerOf(attacker, "fill_file", { where });
    assert.match(await fill("HOME"), /^6[0-4] (EFBIG|ENOSPC)$/);
    assert.match(await fill("/dev/shm"), spaces ? /^[01] ENOSPC$/ : /^0 EACCES$/);
    if (!spaces)
      return t.diagnostic(`not held, and reported so: many files (${reports().get("disk")?.enforcement})`);
    assert.match(await fill("TMPDIR"), /^1[4-6] ENOSPC$/);
    assert.match(await answerOf(attacker, "fill_many").catch(String), /^6[0-4] ENOSPC$|memory limit/);
  });
  test(
    "files without content come to their end too",
    { skip: rig.tier === 3 ? false : "only a cgroup counts them" },
    () => assert.rejects(answerOf(attacker, "fill_empty"), /memory limit|cpu limit/),
  );
  test("it reads nothing of this host, of us or of another plugin", async () => {
    const dir = mkdtempSync(join(tmpdir(), "mairust-other-"));
    try {
      const core = `/proc/${process.pid}`;
      const paths = [
        "/etc/passwd",
        "/etc/shadow",
        "/etc/hosts",
        `${core}/environ`,
        `${core}/cmdline`,
        `${core}/mem`,
        dir,
        "/root",
      ];
      refusedAll(await answerOf(attacker, "read_files", { paths }), /^(EACCES|ENOENT|EPERM)$/);
    } finally {
      rmSync(dir, { recursive: true });
    }
  });
  test("it writes nowhere but in its own folders, not even to its code", async () => {
    const paths = [
      "/",
      "/usr",
      "/usr/bin",
      "/dev",
      "/etc",
      "/var/tmp",
      ...(spaces ? ["/plugin", "/proc"] : ["/tmp", FOLDER]),
    ];
    refusedAll(await answerOf(attacker, "write_files", { paths }), /^(EACCES|ENOENT|EPERM|EROFS)$/);
  });
  test("no socket of any kind", async () => {
    const dir = mkdtempSync(join(tmpdir(), "mairust-sock-"));
    const abstract = `mairust-test-${process.pid}`;
    const servers = [{ host: "127.0.0.1", port: 0 }, { path: join(dir, "s") }, { path: `\0${abstract}` }].map(
      at => createServer().listen(at),
    );
    try {
      await Promise.all(servers.map(server => once(server, "listening")));
      const address = servers[0]?.address();
      const port = typeof address === "object" ? address?.port : 0;
      const said = await answerOf(attacker, "network", { port, unix: join(dir, "s"), abstract });
      refusedAll(said, /^(EPERM|EAFNOSUPPORT)$/);
    } finally {
      for (const server of servers) server.close();
      rmSync(dir, { recursive: true });
    }
  });
  test("no way to other processes, and none into the kernel's rarely used parts", async () => {
    refusedAll(await answerOf(attacker, "kernel", { core: process.pid }), /^(EPERM|ESRCH|ENOSYS|EINVAL)$/);
  });
  test("it changes nothing of a file that it may not open, though it may be its owner", async () => {
    const dir = mkdtempSync(join(tmpdir(), "mairust-mode-"));
    const path = join(dir, "f");
    writeFileSync(path, "x", { mode: 0o600 });
    const before = statSync(path);
    try {
      refusedAll(
        await answerOf(attacker, "touch_files", { path }),
        /^(EACCES|ENOENT|EPERM|EROFS|ENOSYS|E2BIG|EINVAL)$/,
      );
      const { mode, mtimeMs } = statSync(path);
      assert.deepEqual([mode, mtimeMs], [before.mode, before.mtimeMs]);
    } finally {
      rmSync(dir, { recursive: true });
    }
  });
  test("a folder that it closed to everybody does not outlive it, nor end the service", async () => {
    const one = await started(rig.transport("com.example.closer"));
    assert.equal(await answerOf(one, "close_folder"), "done");
    await one.stop(deadlineAfter(2000));
    const left = ownFolders().flatMap(folder =>
      readdirSync(folder).map(work => join(folder, work, "closed")),
    );
    assert.deepEqual(
      left.filter(path => existsSync(path)),
      [],
    );
  });
  test("processes start as before when somebody tidied the folder for temporary files up", async () => {
    const one = rig.transport("com.example.late");
    for (const folder of ownFolders()) rmSync(join(folder, "stage"), { recursive: true, force: true });
    await started(one);
    assert.equal(await answerOf(one, "good"), "good");
    await one.stop(deadlineAfter(2000));
  });
  test("who works on between its calls is ended, also when calls keep coming", async () => {
    const crashes = rig.crashes.length;
    assert.equal(await answerOf(attacker, "spin_between"), "spinning");
    for (let tries = 0; tries < 10 && rig.crashes.length === crashes; tries++) {
      await answerOf(attacker, "good").catch(() => {});
      await sleep(2000);
    }
    assert.match(rig.crashes.at(-1) ?? "", /cpu limit: 400 ms, between calls/);
  });
  test("short processes add up, or the report says that they may not", async () => {
    const said = await answerOf(attacker, "spin_short").catch(String);
    if (said === "spun") assert.equal(reports().get("cpu")?.enforcement, "best_effort");
    else assert.match(said, /cpu limit/);
  });
  test("who is deaf and has left every group is gone with the deadline", async () => {
    const seconds = `${700_000 + rig.tier}.${process.pid}`;
    await assert.rejects(ask(attacker, "escape_and_hang", { seconds }, 1500), hasCode("deadline"));
    assert.ok(await noSleepers(seconds), "the grandchild survived");
  });
  test("who has left every group is gone with the stop", async () => {
    const seconds = `${710_000 + rig.tier}.${process.pid}`;
    const one = await started(rig.transport("com.example.leaver"));
    await answerOf(one, "escape", { seconds });
    assert.equal(sleepers(seconds).length, 1);
    await one.stop(deadlineAfter(2000));
    assert.ok(await noSleepers(seconds), "the grandchild survived");
  });
  test("its environment holds five variables, its descriptors are three", async () => {
    const seen = JSON.parse(await answerOf(attacker, "look"));
    assert.deepEqual(
      seen.env.filter((name: string) => name !== "LC_CTYPE" && name !== "PWD"),
      ["HOME", "LANG", "MAIRUST_PLUGIN_ID", "PATH", "TMPDIR"],
    );
    assert.ok(
      seen.fds.every((fd: number) => fd <= 3),
      `${seen.fds}`,
    );
    // As process 1 it leaves no zombie to the host.
    if (spaces) assert.deepEqual([seen.cwd, seen.home, seen.pid], ["/plugin", "/work", 1]);
    else assert.equal(seen.cwd, FOLDER);
  });
  test("each plugin is a user of its own", {
    skip: isRoot ? false : "only root can give them one",
  }, async () => {
    const uids = await Promise.all(
      [attacker, good].map(async one => JSON.parse(await answerOf(one, "look")).uid),
    );
    assert.notEqual(uids[0], uids[1]);
    for (const uid of uids) assert.ok(uid >= 61_000 && uid <= 61_999, `${uid}`);
  });
  test("what it keeps stays where it may keep something, else not", async () => {
    const dir = mkdtempSync(join(tmpdir(), "mairust-keep-"));
    // The parent must be passable for the plugin's user where no mount namespace shows the folder elsewhere.
    const persistentDir = join(dir, "kept");
    const ways: readonly (readonly [string | undefined, string])[] = [
      [persistentDir, "a"],
      [undefined, ""],
    ];
    for (const [where, second] of ways) {
      if (where !== undefined && !spaces && isRoot) continue;
      const run = async (text: string) => {
        const one = await started(rig.transport("com.example.keeper", {}, { persistentDir: where }));
        const said = await answerOf(one, "keep", { text });
        await one.stop(deadlineAfter(2000));
        return said;
      };
      assert.deepEqual([await run("a"), await run("b")], ["", second]);
    }
    rmSync(dir, { recursive: true });
  });
  test("it dies with the service, which passes nothing on that it was started with", async () => {
    const seconds = `${720_000 + rig.tier}.${process.pid}`;
    const secret = openSync(join(FOLDER, "attacker.py"), "r");
    const main = new URL("host-main.js", import.meta.url).pathname;
    const host = spawn(process.execPath, [main, String(rig.tier), seconds], {
      stdio: ["ignore", "pipe", "inherit", secret, secret],
    });
    closeSync(secret);
    assert.ok(host.stdout !== null);
    const [line] = await once(host.stdout, "data", { signal: AbortSignal.timeout(60_000) });
    const { fds } = JSON.parse(String(line));
    assert.ok(
      fds.every((fd: number) => fd <= 3),
      `${fds}`,
    );
    assert.equal(sleepers(seconds).length, 1);
    const gone = once(host, "exit");
    host.kill("SIGKILL");
    await gone;
    assert.ok(await noSleepers(seconds), "something survived the service");
    const left = () =>
      [tmpdir(), ...groupFolders()].flatMap(folder =>
        readdirSync(folder).filter(name =>
          new RegExp(`^mairust-(sandbox-\\d+-)?${host.pid}(-|$)`, "u").test(name),
        ),
      );
    assert.notDeepEqual(left(), []);
    // A group cannot go while the last of its processes is on its way out: then the start after the next takes it.
    for (let tries = 0; tries < 20 && left().length > 0; tries++) {
      (await rigOf(rig.tier)).close();
      await sleep(100);
    }
    assert.deepEqual(left(), [], "a later start takes away what it left");
  });
  test("a required limit that does not hold keeps it from starting, by name", async () => {
    const all = attacker.limits?.() ?? [];
    const weak = all.filter(one => one.enforcement !== "enforced").map(({ limit }) => limit);
    const enforced = all.filter(one => one.enforcement === "enforced").map(({ limit }) => limit);
    await tries(rig.transport("com.example.strict", {}, { requireLimits: enforced }));
    for (const name of [...weak, "speed"])
      await assert.rejects(
        tries(rig.transport("com.example.strict", {}, { requireLimits: [name] })),
        new RegExp(`plugins\\.require_limits asks for "${name}"`),
      );
  });
  test("a way to the network that nobody built is refused by name", async () => {
    const network = { mode: "outbound-limited", allow: ["api.example.com:443"] } as const;
    const one = rig.transport("com.example.net", {}, { network });
    await assert.rejects(tries(one), /limits\.network = "outbound-limited"/);
    assert.match((await one.health()).detail ?? "", /outbound-limited/);
  });
  test("mode spawn is held to the same, from the start of each process to its end", async () => {
    const spawned = async (script: string, cpuMs = CONFINED.cpuMs) => {
      const command = ["/usr/bin/python3", "-ISE", "-c", script];
      const one = await started(rig.transport("com.example.spawned", { mode: "spawn", command }, { cpuMs }));
      try {
        return await answerOf(one, "x");
      } finally {
        await one.stop(deadlineAfter(2000));
      }
    };
    assert.equal(
      await spawned(`import os; print('{"explanation":"' + os.getcwd() + '"}')`),
      spaces ? "/plugin" : FOLDER,
    );
    await assert.rejects(spawned("while True: pass"), /cpu limit: 400 ms/);
    // Process 1 of a namespace is spared the signals that it does not wait for.
    if (!spaces) await assert.rejects(spawned("import os; os.kill(os.getpid(), 15)"), /SIGTERM/);
    await assert.rejects(spawned("import sys; sys.exit(7)"), /exit code 7/);
  });
}

function groupFolders(): readonly string[] {
  const { v1, v2 } = findHierarchies();
  return [...v1.values(), ...(v2 === undefined ? [] : [v2])]
    .map(({ path }) => path)
    .filter(path => existsSync(path));
}

async function tries(transport: PluginTransport): Promise<void> {
  try {
    await started(transport);
  } finally {
    await transport.stop(deadlineAfter(2000));
  }
}
