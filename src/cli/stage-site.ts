/**
 * The half of a step that Postfix and Dovecot take: which lines they lack for a stage, and those that undo them, printed as a person
 * would type them, or made after a backup. The engine runs in this process, as the user of the command.
 */
import type { LoadedConfig } from "../platform/config/load.ts";
import type {
  FindRead,
  SeenMarker,
  SiteEngines,
  SiteFinding,
  SitePlaces,
  SitePlan,
  SiteTarget,
} from "../wire/site-calls.ts";
import type { Client } from "./client.ts";
import type { CommandContext } from "./command.ts";
import { CommandError, EXIT } from "./exit-codes.ts";
import { quietRelays } from "./quiet-relays.ts";
import { backupOf, placesOf } from "./site-options.ts";
import { siteShell } from "./site-shell.ts";
import { printable } from "./text.ts";

export class SiteHalf {
  readonly #context: CommandContext;
  readonly #client: Client;
  readonly #loaded: LoadedConfig;
  readonly #engines: SiteEngines;

  constructor(
    context: CommandContext,
    connected: { readonly client: Client; readonly loaded: LoadedConfig },
    engines: SiteEngines,
  ) {
    this.#context = context;
    this.#client = connected.client;
    this.#loaded = connected.loaded;
    this.#engines = engines;
  }

  get #places(): SitePlaces {
    return placesOf(this.#context.options);
  }

  /** What the servers lack. @param isCleared  the account's own lines go: those of its domain count */
  plan(target: SiteTarget, isCleared: boolean): Promise<SitePlan> {
    const { config } = this.#loaded;
    return isCleared
      ? this.#engines.planUndo(config, this.#places, target)
      : this.#engines.plan(config, this.#places, target);
  }

  /** @returns undefined: Dovecot is not here, or how it is set up cannot be read, which is said */
  seenMarker(): Promise<SeenMarker | undefined> {
    return this.#orSay(() => this.#engines.seenMarker(this.#places));
  }

  /** @returns as {@link seenMarker} */
  readFinder(): Promise<FindRead | undefined> {
    return this.#orSay(() => this.#engines.readFinder(this.#places));
  }

  async #orSay<T>(work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#context.terminal.err(`Dovecot's settings cannot be read: ${printable(reason)}\n`);
      return undefined;
    }
  }

  async apply(plan: SitePlan): Promise<void> {
    const { options, terminal } = this.#context;
    const { config } = this.#loaded;
    const backupDir = backupOf(options);
    const quietly = quietRelays(this.#client, terminal.err);
    const applied = await this.#engines.apply(config, this.#places, plan, backupDir, quietly);
    const { backup, changed, notes } = applied;
    for (const note of notes) terminal.err(`${printable(note)}\n`);
    if (changed.length === 0) return;
    terminal.err(`changed ${changed.map(printable).join(", ")}; as they were: ${printable(backup)}\n`);
  }
}

/** On standard error: standard output has the result alone. What undoes is not pasted by accident. */
export function printPlan({ terminal }: CommandContext, plan: SitePlan, heading: string): void {
  if (plan.changes.length === 0) return;
  terminal.err(`${heading}\n${siteShell(plan.changes)}`);
  if (plan.undo.length > 0) terminal.err(`# what takes it back\n${siteShell(plan.undo, "# ")}`);
}

/** @throws {CommandError} 1: what keeps us from it, each with what to do */
export function refuseObstacles({ obstacles, target }: SitePlan): void {
  if (obstacles.length === 0) return;
  const text = (one: SiteFinding) => `  ${one.code}: ${printable(one.what)} ${printable(one.fix)}`;
  const lines = obstacles.map(text).join("\n");
  throw new CommandError(EXIT.failed, `Postfix and Dovecot cannot be set up for ${target.stage}:\n${lines}`);
}
