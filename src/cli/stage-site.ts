/**
 * The half of a step that Postfix and Dovecot take: which lines they lack for a stage, and those that undo them, printed as a person
 * would type them, or made after a backup. The engine runs in this process, as the user of the command.
 */
import type { LoadedConfig } from "../platform/config/load.ts";
import type {
  MarkSeen,
  SiteChange,
  SiteEngines,
  SiteFinding,
  SitePlaces,
  SitePlan,
  SiteTarget,
} from "../wire/site-calls.ts";
import type { CommandContext } from "./command.ts";
import { CommandError, EXIT } from "./exit-codes.ts";
import { printable } from "./text.ts";

/** Where `setup` keeps files as they were, too. */
const BACKUP = "/var/backups/mairust";

/** `planUndo`: what takes back all that was set up for one scope. */
type Engines = SiteEngines & { readonly planUndo?: SiteEngines["plan"] };

export class SiteHalf {
  readonly #context: CommandContext;
  readonly #loaded: LoadedConfig;
  readonly #engines: Engines;

  constructor(context: CommandContext, loaded: LoadedConfig, engines: Engines) {
    this.#context = context;
    this.#loaded = loaded;
    this.#engines = engines;
  }

  get #places(): SitePlaces {
    const { options } = this.#context;
    const [postfixDir, dovecotConfig] = [options.text("postfixDir"), options.text("dovecotConfig")];
    return {
      ...(postfixDir === undefined ? {} : { postfixDir }),
      ...(dovecotConfig === undefined ? {} : { dovecotConfig }),
    };
  }

  /** What the servers lack. @param isCleared  the account's own lines go: those of its domain count */
  plan(target: SiteTarget, isCleared: boolean): Promise<SitePlan> {
    const { config } = this.#loaded;
    const undo = isCleared ? this.#engines.planUndo : undefined;
    return undo === undefined
      ? this.#engines.plan(config, this.#places, target)
      : undo.call(this.#engines, config, this.#places, target);
  }

  /** @returns undefined: Dovecot is not here, or how it is set up cannot be read, which is said */
  async seenMarker(): Promise<MarkSeen | undefined> {
    try {
      return await this.#engines.seenMarker(this.#places);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#context.terminal.err(`Dovecot's settings cannot be read: ${printable(reason)}\n`);
      return undefined;
    }
  }

  async apply(plan: SitePlan): Promise<void> {
    const { options, terminal } = this.#context;
    const { config } = this.#loaded;
    const backupDir = options.text("backup") ?? BACKUP;
    const { backup, changed } = await this.#engines.apply(config, this.#places, plan, backupDir);
    if (changed.length === 0) return;
    terminal.err(`changed ${changed.map(printable).join(", ")}; as they were: ${printable(backup)}\n`);
  }
}

/** On standard error: standard output has the result alone. What undoes is not pasted by accident. */
export function printPlan({ terminal }: CommandContext, plan: SitePlan, heading: string): void {
  if (plan.changes.length === 0) return;
  terminal.err(`${heading}\n${shell(plan.changes, "")}`);
  if (plan.undo.length > 0) terminal.err(`# what takes it back\n${shell(plan.undo, "# ")}`);
}

function shell(changes: readonly SiteChange[], mark: string): string {
  const servers = [...new Set(changes.map(change => change.server))];
  const lines = changes.flatMap(({ file, why, commands, lines: wanted }) => [
    `# ${file}${why === "" ? "" : `: ${why}`}`,
    ...(commands.length > 0
      ? commands.map(command => `${mark}${command}`)
      : wanted.map(line => `#   ${line}`)),
  ]);
  const reload = servers.map(server =>
    server === "postfix"
      ? `${mark}postfix check && postfix reload`
      : `${mark}doveconf -n >/dev/null && doveadm reload`,
  );
  return [...lines, ...reload].map(line => `${printable(line)}\n`).join("");
}

/** @throws {CommandError} 1: what keeps us from it, each with what to do */
export function refuseObstacles({ obstacles, target }: SitePlan): void {
  if (obstacles.length === 0) return;
  const text = (one: SiteFinding) => `  ${one.code}: ${printable(one.what)} ${printable(one.fix)}`;
  const lines = obstacles.map(text).join("\n");
  throw new CommandError(EXIT.failed, `Postfix and Dovecot cannot be set up for ${target.stage}:\n${lines}`);
}
