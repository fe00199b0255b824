/**
 * `mairust stage set`: both halves of a step in the order of `stage-steps.ts`. What speaks against it is found out before anything is
 * changed. Interrupted anywhere, the same command goes on: each half is looked at anew, and what is done already is not done again.
 */
import type { LoadedConfig } from "../platform/config/load.ts";
import type { AccountBody } from "../wire/api/accounts.ts";
import { MAX_PAGE_ITEMS } from "../wire/api/codes.ts";
import type { PageBody } from "../wire/api/common.ts";
import type { SetStageBody, StageBody, StageSetBody } from "../wire/api/stages.ts";
import type { FindRead, SeenMarker, SitePlan, StageName } from "../wire/site-calls.ts";
import type { Client } from "./client.ts";
import type { CommandContext } from "./command.ts";
import { CommandError, EXIT, type ExitCode, usageError } from "./exit-codes.ts";
import { type Column, confirm, printRows } from "./output.ts";
import { progressOf } from "./progress.ts";
import { carrierOf, checkCarrier } from "./stage-carrier.ts";
import {
  type AccountCarried,
  type Carrier,
  carryBack,
  carryRest,
  eachOf,
  isDone,
  together,
} from "./stage-carry.ts";
import { takeRead } from "./stage-read.ts";
import { forgetAccountsSeen, markAccountsSeen } from "./stage-seen.ts";
import { printPlan, refuseObstacles, SiteHalf } from "./stage-site.ts";
import { type Step, stepOf } from "./stage-steps.ts";
import { printable } from "./text.ts";

export interface Asked {
  readonly scope: string;
  /** domain: the account's own is taken away. */
  readonly stage: StageName | "domain";
  readonly path: string;
}

export interface Moved {
  readonly code: ExitCode;
  readonly record: StageBody & { readonly carried?: readonly AccountCarried[] };
}

const CARRIED_COLUMNS: readonly Column<AccountCarried>[] = [
  { title: "ACCOUNT", value: a => a.account, min: 20 },
  { title: "READ", value: a => a.read, right: true },
  { title: "PASSES", value: a => a.passes, right: true },
  { title: "COPIED", value: a => a.copied, right: true },
  { title: "FLAGS", value: a => a.flags_updated, right: true },
  { title: "REMOVED", value: a => a.expunged, right: true },
  { title: "ONLY HERE", value: a => a.only_here, right: true },
  { title: "ONLY THERE", value: a => a.only_there, right: true },
  { title: "BYTES", value: a => a.bytes_differ, right: true },
  { title: "FLAGS DIFFER", value: a => a.flags_differ, right: true },
  { title: "FAILED", value: a => a.problems.length, right: true },
];
/** Messages that are named one by one. */
const SHOWN_PROBLEMS = 20;
/** Tries to turn the stage: mail that came between the last pass and the comparison may speak against it once. */
const TRIES = 3;

export class StageMove {
  readonly #context: CommandContext;
  readonly #client: Client;
  readonly #loaded: LoadedConfig;
  readonly #asked: Asked;

  constructor(
    context: CommandContext,
    connected: { readonly client: Client; readonly loaded: LoadedConfig },
    asked: Asked,
  ) {
    this.#context = context;
    this.#client = connected.client;
    this.#loaded = connected.loaded;
    this.#asked = asked;
  }

  async run(): Promise<Moved> {
    const { options } = this.#context;
    const before = (await this.#client.get<StageBody>(this.#asked.path)).body;
    const step = stepOf(
      before.stage,
      this.#asked.stage === "domain" ? before.domain_stage : this.#asked.stage,
    );
    const against = this.#againstFor(step, before.kind);
    await this.#check(before, step, against !== undefined);
    const site = await this.#site();
    const plan = await site?.plan({ scope: before.scope, stage: step.to }, this.#asked.stage === "domain");
    if (plan !== undefined) refuseObstacles(plan);
    if (options.has("dryRun")) return this.#tried({ before, step, site, plan, against });
    this.#refuseUnready(step, plan);
    await confirm(this.#context.terminal, options.has("yes"), question(before, step));
    const ready = { before, step, site, plan, against };
    return step.direction === "up" ? this.#up(ready) : this.#down(ready);
  }

  /** Where mail goes back to; undefined: it needs not, or somebody says that it shall stay here. */
  #againstFor({ leavesStore, to }: Step, kind: StageBody["kind"]): string | undefined {
    const { options } = this.#context;
    const against = options.text("against");
    if (against !== undefined && to === "store") throw usageError("--against is for the way down from store");
    if (against !== undefined) checkCarrier(this.#context, kind, against);
    if (leavesStore && against === undefined && !options.has("withoutVerify"))
      throw usageError(
        "--against is missing: imap://host of Dovecot's own mail, where what only the sidecar has goes back; --without-verify leaves it here",
      );
    return against;
  }

  /** The service says now what speaks against it; what is to be carried back first is asked for again then. */
  async #check(before: StageBody, { leavesStore }: Step, carries: boolean): Promise<void> {
    const waived = leavesStore && carries ? { without_verify: true } : {};
    await this.#post(before, { ...this.#body(), ...waived }, true);
  }

  async #site(): Promise<SiteHalf | undefined> {
    const { options, standalone } = this.#context;
    if (options.has("sidecarOnly")) return undefined;
    const connected = { client: this.#client, loaded: this.#loaded };
    return new SiteHalf(this.#context, connected, await standalone.site());
  }

  async #tried({ before, step, plan, against }: Ready): Promise<Moved> {
    const { terminal } = this.#context;
    if (plan !== undefined) printPlan(this.#context, plan, `${step.to} needs of Postfix and Dovecot:`);
    const carrier = against === undefined ? undefined : await this.#carrier(against, undefined);
    const passes = await carrier?.run(async () => {
      const all = await this.#accounts(before);
      return eachOf(all, account => carrier.carrier.pass(account, step.leavesStore));
    });
    if (passes !== undefined) {
      const copied = passes.reduce((sum, pass) => sum + pass.copied, 0);
      terminal.err(`would carry back ${copied} messages of ${passes.length} accounts\n`);
    }
    const isBlocked = this.#isUnready(step, plan);
    const then = isBlocked ? "; it is refused until that is done, by hand or with --apply" : "";
    terminal.err(`would move ${printable(before.scope)} from ${step.from} to ${step.to}${then}\n`);
    return { code: isBlocked ? EXIT.failed : EXIT.ok, record: before };
  }

  /** On the way up the servers come first. */
  #isUnready({ direction }: Step, plan: SitePlan | undefined): boolean {
    return direction === "up" && (plan?.changes.length ?? 0) > 0 && !this.#context.options.has("apply");
  }

  #refuseUnready(step: Step, plan: SitePlan | undefined): void {
    if (plan === undefined || !this.#isUnready(step, plan)) return;
    printPlan(this.#context, plan, `${step.to} needs of Postfix and Dovecot first:`);
    throw new CommandError(EXIT.failed, "nothing was changed: make these changes, or say --apply");
  }

  /** The servers first, then the stage. */
  async #up({ before, step, site, plan }: Ready): Promise<Moved> {
    const { options } = this.#context;
    let current = before;
    if (site !== undefined && plan !== undefined && plan.changes.length > 0) {
      // Mail comes by the new routes at once, before the stage: the next hop must be known then.
      if (options.text("relayLmtp") !== undefined && before.kind === "domain")
        current = await this.#post(current, { ...this.#body(), stage: before.stage }, false);
      printPlan(this.#context, plan, "changing in Postfix and Dovecot:");
    }
    // Also without a change: one that was killed may have left a reload to be made.
    if (site !== undefined && plan !== undefined && options.has("apply")) await site.apply(plan);
    const marker = step.to === "store" ? await this.#seenMarker(site) : undefined;
    if (marker !== undefined) await forgetAccountsSeen(marker, await this.#accounts(before));
    const record = this.#said(step, await this.#post(current, this.#body(), false));
    if (step.to === "store") await this.#markSeen(before, marker);
    return { code: EXIT.ok, record };
  }

  /** With --apply, where Dovecot is: its commands run as root. */
  async #seenMarker(site: SiteHalf | undefined): Promise<SeenMarker | undefined> {
    return this.#context.options.has("apply") ? site?.seenMarker() : undefined;
  }

  /** And again, for what came later or failed, with each such command. */
  async #markSeen(before: StageBody, marker: SeenMarker | undefined): Promise<void> {
    const say = (text: string) => this.#context.terminal.err(text);
    if (marker !== undefined) return markAccountsSeen(marker, await this.#accounts(before), say);
    say("what was read before shows as unread in store: only --apply, where Dovecot is, marks it\n");
  }

  /** What Dovecot's own record holds of the time before the sidecar kept flags: nobody reads it afterwards. */
  async #takeRead(before: StageBody, site: SiteHalf | undefined): Promise<void> {
    if (this.#loaded.config.imap.writable === "none") return;
    const find = await site?.readFinder();
    const take = takeRead(this.#client, find, text => this.#context.terminal.err(text));
    await eachOf(await this.#accounts(before), take);
  }

  /** The stage first, with mail back before and after it, then the servers. */
  async #down(ready: Ready): Promise<Moved> {
    const { before, step, site, against } = ready;
    const marker = step.leavesStore ? await this.#seenMarker(site) : undefined;
    const carrier =
      against === undefined ? undefined : await this.#carrier(against, await this.#findRead(step, site));
    const isFirst = carrier !== undefined && step.leavesStore;
    const { set, carried } = isFirst
      ? await carrier.run(() => this.#carriedThenSet(before, carrier.carrier))
      : { set: await this.#post(before, this.#body(), false), carried: [] };
    const record = this.#said(step, set);
    if (marker !== undefined) await forgetAccountsSeen(marker, await this.#accounts(before));
    if (carrier === undefined) {
      const isRepeated = step.from === "store" && step.to === "store" && this.#context.options.has("apply");
      if (isRepeated) await this.#takeRead(before, site);
      await this.#serversDown(ready);
      if (isRepeated) await this.#markSeen(before, await this.#seenMarker(site));
      return { code: EXIT.ok, record };
    }
    const rest = await carrier.run(() => this.#rest(carrier.carrier, record));
    const all = together(carried, rest);
    const code = this.#report(all);
    // While something is only here, clients go on reading here.
    if (code === EXIT.ok) await this.#serversDown(ready);
    return { code, record: { ...record, carried: all } };
  }

  /** @throws {CommandError} 77: something speaks against the step each time; 1: mail that cannot be carried back */
  async #carriedThenSet(before: StageBody, carrier: Carrier) {
    for (let tries = 1; ; tries += 1) {
      const carried = await carryBack(carrier, await this.#accounts(before));
      refuseProblems(carried);
      try {
        return { set: await this.#post(before, this.#body(), false), carried };
      } catch (error) {
        const isOpen = error instanceof CommandError && error.exitCode === EXIT.notAllowed;
        if (!isOpen || tries === TRIES) throw error;
      }
    }
  }

  /** Looked at anew: carrying mail back may have taken hours. */
  async #serversDown({ before, step, site }: Ready): Promise<void> {
    const plan = await site?.plan({ scope: before.scope, stage: step.to }, this.#asked.stage === "domain");
    const isApplied = this.#context.options.has("apply");
    if (site === undefined || plan === undefined || (plan.changes.length === 0 && !isApplied)) return;
    const heading = isApplied
      ? "changing in Postfix and Dovecot:"
      : `now ${step.to} needs of Postfix and Dovecot:`;
    printPlan(this.#context, plan, heading);
    if (isApplied) await site.apply(plan);
  }

  /** With --apply, where Dovecot is: its commands run as root. */
  async #findRead({ leavesStore }: Step, site: SiteHalf | undefined): Promise<FindRead | undefined> {
    const { options, terminal } = this.#context;
    const find = options.has("apply") ? await site?.readFinder() : undefined;
    if (find === undefined && leavesStore)
      terminal.err(
        "what users have read in store is not carried back: only --apply, where Dovecot is, does\n",
      );
    return find;
  }

  async #carrier(against: string, find: FindRead | undefined) {
    const { standalone, terminal, options } = this.#context;
    const read = takeRead(this.#client, find, text => terminal.err(text));
    const progress = progressOf(terminal, options);
    const connected = { client: this.#client, loaded: this.#loaded };
    const engines = await standalone.transfer();
    const carrier = carrierOf(this.#context, connected, against, engines, progress, read);
    return { carrier, run: <T>(work: () => Promise<T>) => work().finally(() => progress.end()) };
  }

  async #rest(carrier: Carrier, record: StageBody) {
    const settled = new Date(record.settled_at);
    const accounts = await this.#accounts(record);
    return carryRest(carrier, accounts, settled, text => this.#context.terminal.err(text));
  }

  /** Those whose stage this is. */
  async #accounts({ kind, scope }: StageBody): Promise<readonly string[]> {
    if (kind === "account") return [scope];
    const found: string[] = [];
    let cursor: string | null = null;
    do {
      const query = { domain: scope, limit: MAX_PAGE_ITEMS, ...(cursor === null ? {} : { cursor }) };
      const page: { readonly body: PageBody<AccountBody> } = await this.#client.get("/api/v1/accounts", {
        query,
      });
      found.push(...page.body.items.filter(one => one.own_stage === null).map(one => one.address));
      cursor = page.body.next_cursor;
    } while (cursor !== null);
    return found;
  }

  #body(): SetStageBody {
    const { options } = this.#context;
    const relay = options.text("relayLmtp");
    return {
      stage: this.#asked.stage,
      ...(relay === undefined ? {} : { relay_lmtp: relay === "none" ? null : relay }),
      ...(options.has("withoutVerify") ? { without_verify: true } : {}),
      ...(options.has("force") ? { force: true } : {}),
    };
  }

  async #post({ version }: StageBody, body: SetStageBody, dryRun: boolean): Promise<StageSetBody> {
    const headers = { "if-match": `"${version}"` };
    const query = { dry_run: dryRun };
    return (await this.#client.post<StageSetBody>(this.#asked.path, { body, headers, query })).body;
  }

  #said({ from, to }: Step, record: StageSetBody): StageSetBody {
    const { terminal } = this.#context;
    for (const { text } of record.waived) terminal.err(`all the same: ${printable(text)}\n`);
    const what = from === to ? `is in ${to}` : `moved from ${from} to ${to}`;
    terminal.err(`${printable(record.scope)} ${what}\n`);
    return record;
  }

  #report(carried: readonly AccountCarried[]): ExitCode {
    const { terminal } = this.#context;
    const lines = { ...terminal, out: (text: string) => terminal.err(text) };
    printRows(lines, terminal.isTerminal ? "table" : "tab", carried, CARRIED_COLUMNS);
    for (const { account, only_there: there } of carried.filter(one => one.only_there > 0))
      terminal.err(`note: ${printable(account)} has ${there} messages there that are not here\n`);
    const open = carried.filter(one => !isDone(one));
    for (const problem of problemsOf(open)) terminal.err(`  ${printable(problem)}\n`);
    if (open.length === 0) return EXIT.ok;
    terminal.err(`${open.length} accounts are not the same yet: run the same command again\n`);
    return EXIT.changed;
  }
}

interface Ready {
  readonly before: StageBody;
  readonly step: Step;
  readonly site: SiteHalf | undefined;
  readonly plan: SitePlan | undefined;
  readonly against: string | undefined;
}

function question({ scope }: StageBody, { from, to }: Step): string {
  return from === to
    ? `This finishes what ${to} needs for ${printable(scope)}.`
    : `This moves ${printable(scope)} from ${from} to ${to}.`;
}

/** What cannot be carried back is not left behind. */
function refuseProblems(carried: readonly AccountCarried[]): void {
  const problems = problemsOf(carried);
  if (problems.length === 0) return;
  const shown = problems.slice(0, SHOWN_PROBLEMS).map(text => `  ${printable(text)}`);
  const more = problems.length - shown.length;
  const text = [`${problems.length} messages could not be carried back; the stage is as it was:`, ...shown];
  throw new CommandError(EXIT.failed, [...text, ...(more > 0 ? [`  and ${more} more`] : [])].join("\n"));
}

const problemsOf = (carried: readonly AccountCarried[]): readonly string[] =>
  carried.flatMap(({ account, problems }) => problems.map(problem => `${account}: ${problem}`));
