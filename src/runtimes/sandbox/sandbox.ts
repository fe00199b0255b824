/**
 * The sandbox of this service: finds out by trying which tier this host can hold, once, and gives each plugin what it is held in. A
 * plugin for which nothing holds, or not what `plugins.require_limits` asks for, does not start. See `plugins/README.md`.
 */
import { chmodSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { messageOf, PluginSecurityError } from "../../core/errors.ts";
import type { Confinement, LimitReport, SandboxTier } from "../../core/ports/sandbox.ts";
import type { ProcessSpec, StartProcess } from "../plugin-process.ts";
import { Cgroups } from "./cgroups.ts";
import type { Door } from "./door.ts";
import { hiddenProgram } from "./host-paths.ts";
import { findTool, findTools, findUser, type HostTools, isRoot } from "./host-tools.ts";
import { type JailSpec, Running, startBare, startJailed } from "./jail.ts";
import { groupName, isOurs, makeFolder } from "./leftovers.ts";
import { bareReports, missingLimits, reportsOf } from "./limit-reports.ts";
import { type Findings, PROBE_MEMORY_MB, probe } from "./probe.ts";
import { removeTree } from "./remove-tree.ts";
import { PluginUids } from "./uids.ts";

export type WalledTier = Exclude<SandboxTier, 0>;

export interface SandboxOptions {
  /** `plugins.uid_range` */
  readonly uidRange: readonly number[];
  /** Where given uids are remembered; absent: nowhere. */
  readonly uidFile?: string;
  /** `plugins.user`: of tier 0, where the service is root and there is such a user. */
  readonly user?: string;
  /** Absent: no plugin has a network. */
  readonly openDoor?: OpenDoor;
  /** Strongest first; default: what this process could have at all. */
  readonly tiers?: readonly WalledTier[];
}

export type OpenDoor = (
  pluginId: string,
  network: Confinement["network"],
  /** Of the plugin's processes; undefined: the service's own. */
  uid: number | undefined,
) => Promise<Door & { close(): Promise<void> }>;

/** What a plugin may be told to run as, and what holds it. */
export interface Admitted {
  readonly tier: SandboxTier;
  readonly start: StartProcess;
  readonly limits: readonly LimitReport[];
  /** Of all its processes that run. */
  memoryBytes(): number;
  /** When no process of it runs any more. */
  release(): Promise<void>;
}

interface Holding {
  readonly tier: WalledTier;
  readonly tools: HostTools;
  readonly cgroups: Cgroups | undefined;
  readonly findings: Findings;
}

/** Folder in ours that launches mount their files under. */
const STAGE = "stage";
const PROBE_ID = "mairust.probe";
const PROBED: Confinement = {
  bare: false,
  cpuMs: 0,
  memoryMb: PROBE_MEMORY_MB,
  network: { mode: "none", allow: [] },
  persistentDir: undefined,
  requireLimits: [],
};

export class Sandbox {
  readonly #options: SandboxOptions;
  readonly #uids: PluginUids;
  /** The last one is in use; what runs since before may still be in the others. */
  readonly #folders: string[] = [];
  #cgroups: Cgroups | undefined;
  #holding: Promise<Holding | { readonly problem: string }> | undefined;

  constructor(options: SandboxOptions) {
    this.#options = options;
    this.#uids = new PluginUids(options.uidRange, options.uidFile);
  }

  /**
   * Whatever this plugin needs to run, and what it will be held by.
   * @throws {PluginSecurityError} `plugin_security`: nothing holds it, or not what is required
   */
  async admit(
    spec: Pick<ProcessSpec, "pluginId" | "folder" | "command">,
    confinement: Confinement,
  ): Promise<Admitted> {
    const { pluginId } = spec;
    if (confinement.bare) return this.#admitBare(pluginId, confinement);
    const holding = await this.holding();
    if ("problem" in holding) throw refused(pluginId, `no sandbox holds on this host: ${holding.problem}`);
    const { tier, tools, cgroups, findings } = holding;
    const hidden = tier === 1 ? undefined : hiddenProgram(spec, tools.paths);
    if (hidden !== undefined) throw refused(pluginId, hidden);
    const ownUid = tools.isRoot;
    const limits = reportsOf({ tier, findings, cgroups: cgroups?.abilities, ownUid }, confinement);
    refuseMissing(pluginId, confinement, limits);
    const door = await this.#doorFor(pluginId, confinement, tier, tools);
    const uid = this.#uidFor(pluginId, tools);
    const running = new Running();
    return {
      tier,
      limits,
      start: one =>
        running.add(
          startJailed({ pluginId, confinement, tier, cgroups, uid, door, ...this.#placed(tools) }, one),
        ),
      memoryBytes: () => running.memoryBytes(),
      release: async () => door?.close(),
    };
  }

  /** The strongest tier that holds here, found out once; or why none does. Never rejects. */
  holding(): Promise<Holding | { readonly problem: string }> {
    this.#holding ??= this.#find().catch((error: unknown) => {
      // No folder of ours could be made: that is no matter of the tiers, and may be another one the next time.
      this.#holding = undefined;
      return { problem: messageOf(error) };
    });
    return this.#holding;
  }

  /** After the last plugin. */
  close(): void {
    this.#cgroups?.close();
    for (const folder of this.#folders.splice(0)) if (isOurs(folder)) removeTree(folder);
  }

  #admitBare(pluginId: string, confinement: Confinement): Admitted {
    const { user = "" } = this.#options;
    const named = isRoot() ? findUser(user) : undefined;
    const prlimit = findTool("prlimit");
    const limits = bareReports(prlimit !== undefined, named === undefined ? undefined : user);
    refuseMissing(pluginId, confinement, limits);
    const running = new Running();
    return {
      tier: 0,
      limits,
      start: spec => running.add(startBare(confinement, spec, prlimit, named)),
      memoryBytes: () => running.memoryBytes(),
      release: async () => {},
    };
  }

  async #doorFor(pluginId: string, { network }: Confinement, tier: WalledTier, tools: HostTools) {
    if (network.mode === "none") return undefined;
    if (tier === 1)
      throw refused(
        pluginId,
        `limits.network = "${network.mode}" needs namespaces, which this host does not give`,
      );
    if (this.#options.openDoor === undefined)
      throw refused(pluginId, `limits.network = "${network.mode}" is not built in this version`);
    return this.#options.openDoor(pluginId, network, this.#uidFor(pluginId, tools));
  }

  async #find(): Promise<Holding | { readonly problem: string }> {
    const place = this.#place();
    const folder = join(place, "probe");
    mkdirSync(folder, { mode: 0o755 });
    const tools = findTools(isRoot() ? join(place, STAGE) : undefined);
    if ("missing" in tools) return { problem: `there is no ${tools.missing}` };
    const made = Cgroups.open(groupName());
    const cgroups = "problem" in made ? undefined : made;
    this.#cgroups = cgroups;
    const tiers = this.#options.tiers ?? [tools.isRoot ? 3 : 2, 1];
    const problems: string[] = [];
    for (const tier of tiers) {
      const missing = missingFor(tier, tools);
      try {
        if (missing !== undefined) throw new Error(missing);
        const start = (one: Pick<ProcessSpec, "command" | "mode">, cpuMs: number) => {
          const jail = { pluginId: PROBE_ID, confinement: { ...PROBED, cpuMs }, tier, cgroups };
          const uid = this.#uidFor(PROBE_ID, tools);
          return startJailed(
            { ...jail, uid, door: undefined, ...this.#placed(tools) },
            { ...one, pluginId: PROBE_ID, folder },
          );
        };
        const findings = await probe({
          start,
          perl: tools.perl,
          unshare: tools.architecture.launcher.unshare,
        });
        if (!isWalled(findings))
          throw new Error(`it does not hold: ${findings.files.evidence}; ${findings.network.evidence}`);
        return { tier, tools, cgroups, findings };
      } catch (error) {
        problems.push(`tier ${tier}: ${messageOf(error)}`);
      }
    }
    return { problem: problems.join("; ") };
  }

  /** Made when it is needed first, and again when somebody tidied up where the system keeps temporary files: days may lie between. */
  #place(): string {
    const known = this.#folders.at(-1);
    if (known !== undefined && [known, join(known, STAGE)].every(isOurs)) return known;
    const folder = makeFolder();
    this.#folders.push(folder);
    chmodSync(folder, 0o711);
    mkdirSync(join(folder, STAGE), { mode: 0o755 });
    return folder;
  }

  /** Where in it a process is started. */
  #placed(tools: HostTools): Pick<JailSpec, "tools" | "workRoot"> {
    const workRoot = this.#place();
    return {
      workRoot,
      tools: tools.stage === undefined ? tools : { ...tools, stage: join(workRoot, STAGE) },
    };
  }

  /** @throws {PluginSecurityError} `plugin_security`: no uid is left */
  #uidFor(pluginId: string, { isRoot: asRoot }: HostTools): number | undefined {
    if (!asRoot) return undefined;
    const uid = this.#uids.of(pluginId);
    if (uid === undefined) throw refused(pluginId, "no uid of plugins.uid_range is free");
    return uid;
  }
}

/** Without these two it is no sandbox, whatever else holds. */
function isWalled({ files, network, process_tree }: Findings): boolean {
  return files.holds && network.holds && process_tree.holds;
}

function missingFor(tier: WalledTier, { bwrap, prlimit }: HostTools): string | undefined {
  if (tier === 1) return undefined;
  if (bwrap === undefined) return "there is no bwrap (install bubblewrap)";
  return prlimit === undefined ? "there is no prlimit (install util-linux)" : undefined;
}

function refuseMissing(
  pluginId: string,
  { requireLimits }: Confinement,
  limits: readonly LimitReport[],
): void {
  const missing = missingLimits(requireLimits, limits);
  if (missing !== undefined) throw refused(pluginId, missing);
}

function refused(pluginId: string, why: string): PluginSecurityError {
  const way = why.startsWith("no sandbox")
    ? `; plugins.allow_unsandboxed = ["${pluginId}"] lets it run without one`
    : "";
  return new PluginSecurityError("plugin_security", `Cannot start plugin "${pluginId}": ${why}${way}`, {
    context: { why: why + way, plugin: pluginId },
  });
}
