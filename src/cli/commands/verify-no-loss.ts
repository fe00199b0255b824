/**
 * `mairust verify-no-loss`: canaries through the operator's own Postfix, while the service is killed where that is asked for, and a
 * table of what became of them. Exit code 0: every one that Postfix took is there, once, byte for byte.
 */
import { randomBytes } from "node:crypto";
import type { PageBody } from "../../wire/api/common.ts";
import type { DomainBody } from "../../wire/api/domains.ts";
import type { KillSwitchBody } from "../../wire/api/loss-proof.ts";
import { STEPS_OF_RELAY, STEPS_OF_STORE } from "../../wire/kill-steps.ts";
import type { KillPoint, LossOptions, LossProof, LossReport, LossRow } from "../../wire/loss-calls.ts";
import { type Client, connect } from "../client.ts";
import type { CommandContext, Options } from "../command.ts";
import { CommandError, EXIT, type ExitCode, usageError } from "../exit-codes.ts";
import { loginAt } from "../imap-login.ts";
import { killSwitch, lossCalls, makeAccount, removeAccount } from "../loss-client.ts";
import { wholeOption } from "../numbers.ts";
import { type Column, confirm, printReport } from "../output.ts";
import { printable } from "../text.ts";

const MAX_MESSAGES = 10_000;
const MAX_RATE = 500;
const MAX_KILLS = 1_000;
const MAX_WAIT_S = 86_400;
/** Missing canaries that are printed one by one. */
const SHOWN_MISSING = 20;
const RUN_BYTES = 12;

const COLUMNS: readonly Column<LossRow>[] = [
  {
    title: "KILLED AT",
    value: row => row.step,
    shown: row => (row.step === "none" ? "(not killed)" : row.step),
  },
  { title: "SENT", value: row => row.sent, right: true },
  { title: "ACCEPTED", value: row => row.accepted, right: true },
  { title: "KILLS", value: row => row.kills, right: true },
  { title: "FOUND", value: row => row.found, right: true },
  { title: "LOST", value: row => row.lost, right: true },
  { title: "DOUBLES", value: row => row.doubles, right: true },
  { title: "ALTERED", value: row => row.altered, right: true },
  { title: "HELD", value: row => row.held, right: true },
  { title: "WAITING", value: row => row.waiting, right: true },
  {
    title: "LONGEST DELAY",
    value: row => row.longest_delay_s,
    shown: row => `${row.longest_delay_s} s`,
    right: true,
  },
];

export async function verifyNoLoss(context: CommandContext): Promise<ExitCode> {
  const { terminal, options, load, standalone } = context;
  const { client, loaded } = await connect(load);
  const state = await killSwitch(client);
  const points = killPoints(options, state);
  const proof = await standalone.loss();
  const messages = wholeOption(options, "messages", 100, { min: 1, max: MAX_MESSAGES });
  const kills = wholeOption(options, "kills", 1, { min: 1, max: MAX_KILLS });
  const rounds = proof.plan(points, kills, messages);
  const run = randomBytes(RUN_BYTES).toString("hex");
  const target = await targetOf(context, client, run);
  const seconds = (name: string, fallback: number) =>
    wholeOption(options, name, fallback, { min: 1, max: MAX_WAIT_S }) * 1000;
  const asked: LossOptions = {
    run,
    hostname: loaded.config.hostname,
    from: options.text("from") ?? "",
    recipients: target.recipients,
    through: options.text("through") ?? loaded.config.outbound.smtp,
    postfix: options.isOff("queue") ? undefined : (options.text("postfix") ?? ""),
    rounds,
    ratePerSecond: wholeOption(options, "rate", 20, { min: 1, max: MAX_RATE }),
    restartMs: seconds("restartTimeout", 60),
    drainMs: seconds("wait", 600),
    imap: imapOf(context),
    keep: options.has("keep"),
    calls: lossCalls(client),
    onProgress: line => terminal.err(`${line}\n`),
  };
  await checkQueue(proof, asked);
  const total = points.length * kills;
  sayPlan(context, asked, total, target.isMade);
  if (options.has("dryRun")) return EXIT.ok;
  if (total > 0)
    await confirm(
      terminal,
      options.has("yes"),
      `This ends the service ${total} times with SIGKILL, with all that it is doing.`,
    );
  const report = await runAt(context, client, proof, asked, target);
  print(context, report);
  return exitOf(report, asked, total);
}

/** @throws {CommandError} 64, 77 */
function killPoints(options: Options, state: KillSwitchBody): readonly KillPoint[] {
  const points = new Set<KillPoint>();
  const usual = options.text("dovecot") === undefined ? STEPS_OF_STORE : STEPS_OF_RELAY;
  for (const name of options.texts("kill").flatMap(text => text.split(","))) {
    const step = state.steps.find(one => one === name);
    if (name === "none") continue;
    if (name === "all") for (const one of usual) points.add(one);
    if (name === "all" || name === "random") points.add("random");
    else if (step !== undefined) points.add(step);
    else
      throw usageError(
        `--kill takes ${state.steps.join(", ")}, random, all or none, not "${printable(name)}"`,
      );
  }
  if (!state.allowed && [...points].some(point => point !== "random")) {
    const text =
      "the service may not be ended at a step: set loss_proof.allow_kill = true and reload, for the time of the proof; --kill random does without";
    throw new CommandError(EXIT.notAllowed, text);
  }
  return [...points];
}

interface Target {
  readonly recipients: readonly string[];
  /** An account of this run alone. */
  readonly isMade: boolean;
}

/** @throws {CommandError} 64 */
async function targetOf({ options }: CommandContext, client: Client, run: string): Promise<Target> {
  const to = options.texts("to");
  const domain = options.text("domain");
  if (to.length > 0 && domain !== undefined) throw usageError("either --domain or --to");
  const dovecot = options.text("dovecot");
  if (to.length > 0) {
    if (dovecot === undefined && !options.has("keep"))
      throw usageError(
        "mail of an account in the store cannot be deleted: use --domain, whose account goes with its canaries, or --keep",
      );
    if (dovecot !== undefined && to.length > 1 && options.text("masterUser") === undefined)
      throw usageError("--dovecot with several --to needs --master-user");
    return { recipients: to, isMade: false };
  }
  if (dovecot !== undefined) throw usageError("--dovecot needs --to: whose mailbox it is");
  return { recipients: [`mairust-canary.${run}@${domain ?? (await onlyDomain(client))}`], isMade: true };
}

/** @throws {CommandError} 64 */
async function onlyDomain(client: Client): Promise<string> {
  const { items } = (await client.get<PageBody<DomainBody>>("/api/v1/domains", { query: { limit: 2 } })).body;
  const [first] = items;
  if (first !== undefined && items.length === 1) return first.name;
  throw usageError("--domain is missing: the service has not exactly one domain");
}

function imapOf(context: CommandContext): LossOptions["imap"] {
  const url = context.options.text("dovecot");
  if (url === undefined) return undefined;
  // One login is read now, so that a mistake is told before anything is sent.
  loginAt(url, "--dovecot", "", context.options);
  const isMaster = context.options.text("masterUser") !== undefined;
  return recipient => {
    const login = loginAt(url, "--dovecot", recipient, context.options);
    return isMaster ? { ...login, authorize: recipient } : login;
  };
}

/** @throws {CommandError} 69 */
async function checkQueue(proof: LossProof, { postfix }: LossOptions): Promise<void> {
  const problem = postfix === undefined ? undefined : await proof.queueProblem(postfix);
  if (problem === undefined) return;
  throw new CommandError(EXIT.serviceAway, `${printable(problem)}. With Postfix on another host: --no-queue`);
}

function sayPlan({ terminal }: CommandContext, asked: LossOptions, kills: number, isMade: boolean): void {
  const messages = asked.rounds.reduce((sum, round) => sum + round.messages, 0);
  const to = printable(asked.recipients.join(", "));
  terminal.err(
    `run ${asked.run}: ${messages} canaries through ${printable(asked.through)} to ${to}${isMade ? " (made for this run)" : ""}, ${asked.ratePerSecond} a second, ${kills} kills\n`,
  );
}

async function runAt(
  { terminal }: CommandContext,
  client: Client,
  proof: LossProof,
  asked: LossOptions,
  { isMade }: Target,
): Promise<LossReport> {
  const [address = ""] = asked.recipients;
  if (isMade) await makeAccount(client, address);
  const leave = (why: string) =>
    terminal.err(`${why}: the account stays; later: mairust account rm ${printable(address)} --yes\n`);
  let report: LossReport;
  try {
    report = await proof.run(asked);
  } catch (error) {
    if (isMade) leave("the run was broken off");
    throw error;
  }
  if (!isMade || asked.keep) return report;
  // What Postfix still has would make it again, or come back as undeliverable.
  if (report.total.waiting > 0) leave("canaries are still on their way");
  else if (report.missing.length > 0) leave("something is missing, and what there is may tell why");
  else await removeAccount(client, address);
  return report;
}

function print({ terminal, format }: CommandContext, report: LossReport): void {
  const rows = report.steps.length > 1 ? [...report.steps, report.total] : report.steps;
  printReport(terminal, format, report, rows, COLUMNS);
  for (const note of report.notes) terminal.err(`${printable(note)}\n`);
  for (const { why, recipient, queue_id: queueId, message_id: id } of report.missing.slice(0, SHOWN_MISSING))
    terminal.err(`  ${why}: ${printable(`${id} to ${recipient}, queue id ${queueId}`)}\n`);
  const { accepted, lost, altered, doubles } = report.total;
  terminal.err(
    `${accepted} accepted by Postfix, ${lost + altered} lost or altered, ${doubles} doubles, in ${report.seconds} s\n`,
  );
}

/** Doubles are a broken promise where the service stores; where it hands mail on, its window for them is documented. */
function exitOf({ total }: LossReport, { imap }: LossOptions, kills: number): ExitCode {
  if (total.lost > 0 || total.altered > 0) return EXIT.failed;
  if (imap === undefined && total.doubles > 0) return EXIT.failed;
  if (total.waiting > 0 || total.accepted < total.sent) return EXIT.tryLater;
  return total.kills === kills ? EXIT.ok : EXIT.failed;
}
