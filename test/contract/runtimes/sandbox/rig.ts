/** A sandbox of one tier with an attacking plugin and a good one in it. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { transportsIn } from "../../../../src/compose/transports.ts";
import type { ScriptSpec } from "../../../../src/core/hook-plugin.ts";
import type { PluginTransport } from "../../../../src/core/ports/plugin-transport.ts";
import type { Confinement } from "../../../../src/core/ports/sandbox.ts";
import { deadlineAfter, sleep } from "../../../../src/platform/deadline.ts";
import { packageRoot } from "../../../../src/platform/package-root.ts";
import { type OpenDoor, Sandbox, type WalledTier } from "../../../../src/runtimes/sandbox/sandbox.ts";
import { ask } from "../conformance.ts";

export const FOLDER = join(packageRoot(), "test/contract/runtimes/sandbox");
export const CONFINED: Confinement = {
  bare: false,
  cpuMs: 400,
  memoryMb: 96,
  network: { mode: "none", allow: [] },
  persistentDir: undefined,
  requireLimits: [],
};

export interface Rig {
  readonly tier: WalledTier;
  /** Why this tier is not to be had here; undefined: it is. */
  readonly missing: string | undefined;
  readonly sandbox: Sandbox;
  readonly crashes: string[];
  readonly notices: string[];
  /** A transport of the attacking program. */
  transport(pluginId: string, change?: Partial<ScriptSpec>, limits?: Partial<Confinement>): PluginTransport;
  close(): void;
}

export async function rigOf(tier: WalledTier, openDoor?: OpenDoor): Promise<Rig> {
  const dir = mkdtempSync(join(tmpdir(), "mairust-uids-"));
  const sandbox = new Sandbox({
    uidRange: [61_000, 61_999],
    uidFile: join(dir, "uids.json"),
    tiers: [tier],
    ...(openDoor === undefined ? {} : { openDoor }),
  });
  const holding = await sandbox.holding();
  const crashes: string[] = [];
  const notices: string[] = [];
  return {
    tier,
    missing: "problem" in holding ? holding.problem : undefined,
    sandbox,
    crashes,
    notices,
    transport: (pluginId, change, limits) =>
      transportsIn(sandbox)({
        kind: "script",
        mode: "worker",
        pluginId,
        version: "1.0.0",
        folder: FOLDER,
        command: ["/usr/bin/python3", "-ISE", "attacker.py"],
        workers: 1,
        onLog: line => notices.push(line),
        onLogDropped: () => {},
        onNotice: text => notices.push(text),
        onCrash: reason => crashes.push(reason),
        confinement: { ...CONFINED, ...limits },
        ...change,
      }),
    close() {
      sandbox.close();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

export async function started(transport: PluginTransport): Promise<PluginTransport> {
  await transport.start(deadlineAfter(30_000));
  return transport;
}

export async function answerOf(
  transport: PluginTransport,
  attack: string,
  settings: Record<string, unknown> = {},
  timeoutMs = 20_000,
): Promise<string> {
  const answer: unknown = JSON.parse(
    Buffer.from(await ask(transport, attack, settings, timeoutMs)).toString(),
  );
  return typeof answer === "object" && answer !== null && "explanation" in answer
    ? String(answer.explanation)
    : "";
}

/** It answers, whatever happened to it before. */
export async function recovered(transport: PluginTransport): Promise<boolean> {
  for (const end = performance.now() + 60_000; performance.now() < end; ) {
    const answer = await answerOf(transport, "good").catch(() => "");
    if (answer === "good") return true;
    await sleep(50);
  }
  return false;
}

/** Processes of this machine that run `sleep` for so many seconds: who left every group and parent is found by that. */
export function sleepers(seconds: string): readonly string[] {
  return readdirSync("/proc").filter(pid => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, "latin1") === `sleep\0${seconds}\0`;
    } catch {
      return false;
    }
  });
}

export async function noSleepers(seconds: string): Promise<boolean> {
  for (const end = performance.now() + 30_000; sleepers(seconds).length > 0 && performance.now() < end; )
    await sleep(20);
  return sleepers(seconds).length === 0;
}
