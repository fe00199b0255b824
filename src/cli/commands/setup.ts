/**
 * `mairust setup`: what Postfix and Dovecot need for a stage, as commands for people or, with `--apply`, done. Several domains or
 * addresses are done one after the other; the first that cannot be ends it with exit code 1, those before it stay.
 */
import { type LoadOptions, loadConfig } from "../../platform/config/load.ts";
import type {
  AppliedPlan,
  Quietly,
  SiteFinding,
  SitePlan,
  SiteState,
  StageName,
} from "../../wire/site-calls.ts";
import { connect } from "../client.ts";
import type { CommandContext, Options } from "../command.ts";
import { CommandError, EXIT, usageError } from "../exit-codes.ts";
import { type Column, printRows } from "../output.ts";
import { quietRelays } from "../quiet-relays.ts";
import { backupOf, placesOf } from "../site-options.ts";
import { siteShell } from "../site-shell.ts";
import type { Terminal } from "../standalone.ts";
import { printable } from "../text.ts";

const STAGES: readonly StageName[] = ["observe", "hooks", "mirror", "store"];

const STATE_COLUMNS: readonly Column<SiteState>[] = [
  { title: "FOR", value: row => row.scope },
  { title: "POSTFIX", value: row => row.postfix },
  { title: "DOVECOT", value: row => row.dovecot },
];

export async function setup({
  terminal,
  standalone,
  load,
  format,
  args,
  options,
}: CommandContext): Promise<number> {
  const { config } = await loadConfig(load);
  const engines = await standalone.site();
  const places = placesOf(options);
  const scopes = args.filter(arg => arg !== undefined);
  const undoing = options.has("undo");
  if (scopes.length === 0) {
    if (undoing || options.text("stage") !== undefined) throw usageError("name a domain or an address");
    printRows(terminal, format, (await engines.inspect(config, places)).targets, STATE_COLUMNS);
    return EXIT.ok;
  }
  const stage = stageOf(options, undoing);
  const applying = options.has("apply") && !options.has("dryRun");
  const results: object[] = [];
  const asText = format === "table" || format === "tab";
  for (const scope of scopes) {
    const target = { scope, stage, showCopy: true };
    const plan = undoing
      ? await engines.planUndo(config, places, target)
      : await engines.plan(config, places, target);
    const applied =
      applying && plan.obstacles.length === 0
        ? await engines.apply(config, places, plan, backupOf(options), await quietlyOf(load, terminal))
        : undefined;
    for (const note of applied?.notes ?? []) terminal.err(`${printable(note)}\n`);
    results.push(resultOf(plan, undoing, applied));
    if (asText) printPlan(terminal, plan, undoing, applied);
    if (plan.obstacles.length > 0) {
      if (!asText) printRows(terminal, format, results, []);
      throw new CommandError(EXIT.failed, `${plan.target.scope} cannot be set up`);
    }
  }
  if (!asText) printRows(terminal, format, results, []);
  return EXIT.ok;
}

/** Without a service, or a socket to it, nothing is relayed by one that could be asked. */
async function quietlyOf(load: LoadOptions, terminal: Terminal): Promise<Quietly> {
  try {
    return quietRelays((await connect(load)).client, terminal.err);
  } catch (error) {
    if (error instanceof CommandError) return work => work();
    throw error;
  }
}

function stageOf(options: Options, undoing: boolean): StageName {
  const asked = options.text("stage");
  if (undoing) {
    if (asked !== undefined) throw usageError("--undo takes all of it back: leave --stage out");
    return "observe";
  }
  const stage = STAGES.find(one => one === asked);
  if (stage === undefined) throw usageError(`--stage takes ${STAGES.join(", ")}, not "${asked ?? ""}"`);
  return stage;
}

function resultOf(plan: SitePlan, undoing: boolean, applied: AppliedPlan | undefined): object {
  return {
    scope: plan.target.scope,
    stage: undoing ? null : plan.target.stage,
    changes: plan.changes,
    undo: plan.undo,
    obstacles: plan.obstacles,
    applied: applied ?? null,
  };
}

function printPlan(
  terminal: Terminal,
  plan: SitePlan,
  undoing: boolean,
  applied: AppliedPlan | undefined,
): void {
  const name = undoing
    ? `take back ${plan.target.scope}`
    : `${plan.target.scope}, stage ${plan.target.stage}`;
  if (plan.obstacles.length > 0) {
    terminal.err(`${plan.obstacles.map(obstacleText).join("")}`);
    return;
  }
  if (applied !== undefined) {
    if (applied.changed.length + applied.reloaded.length === 0) terminal.out(`${name}: nothing to change\n`);
    else {
      terminal.out(`${name}: done\n`);
      for (const file of applied.changed) terminal.out(`  changed ${printable(file)}\n`);
      for (const command of applied.reloaded) terminal.out(`  ran ${printable(command)}\n`);
      if (applied.backup !== "") terminal.out(`  the files as they were: ${printable(applied.backup)}\n`);
    }
    return;
  }
  if (plan.changes.length === 0) {
    terminal.out(`# ${name}: nothing to change\n`);
    return;
  }
  terminal.out(`# ${name}: what --apply does\n${siteShell(plan.changes)}`);
  terminal.out(`\n# what takes it back\n${siteShell(plan.undo, "# ")}`);
}

const obstacleText = ({ what, cause, fix }: SiteFinding) =>
  `${printable(what)}\n  because: ${printable(cause)}\n  do: ${printable(fix)}\n`;
