/**
 * One crash run: a private Postfix, a sidecar with its embedded PostgreSQL, load, kills as planned, and after every few kills an empty
 * queue and a check of every promise.
 */
import { existsSync, readdirSync, utimesSync } from "node:fs";
import { basename, join } from "node:path";
import {
  bounced,
  type CrashOptions,
  emptyQueue,
  KillCount,
  QUICK_RETRIES,
  scrubFindings,
} from "./crash-common.ts";
import { Killer } from "./crash-killer.ts";
import { CrashLedger } from "./crash-ledger.ts";
import { CrashLoad, type LoadCounts } from "./crash-load.ts";
import { type MailSite, startMailSite } from "./mail-site.ts";
import { Promises, type PromisesReport } from "./promises.ts";
import { SeededRandom } from "./random.ts";

/** Older than what the service keeps of dead processes. */
const AGED_S = 7 * 3600;
const DOMAIN = "example.test";
const ACCOUNTS = ["one", "two", "three", "four", "five"].map(name => `${name}@${DOMAIN}`);
/** Address → account. Of Postfix: virtual(5). Of the sidecar: an alias row, sub-addresses, another spelling. */
const POSTFIX_ALIASES = { [`also-one@${DOMAIN}`]: `one@${DOMAIN}`, [`also-two@${DOMAIN}`]: `two@${DOMAIN}` };
const SIDECAR_ALIASES = {
  [`alias-one@${DOMAIN}`]: `one@${DOMAIN}`,
  [`alias-three@${DOMAIN}`]: `three@${DOMAIN}`,
};
const SPELLINGS = { [`two+news@${DOMAIN}`]: `two@${DOMAIN}`, [`THREE@${DOMAIN}`]: `three@${DOMAIN}` };

export interface CrashRunOptions extends CrashOptions {
  readonly onPhase?: (phase: PhaseReport) => void;
}

export interface PhaseReport {
  readonly phase: number;
  readonly kills: number;
  readonly seconds: number;
  readonly drainSeconds: number;
  readonly promises: PromisesReport;
}

export interface CrashRunReport {
  readonly seed: number;
  readonly kills: number;
  readonly killsByName: Readonly<Record<string, number>>;
  readonly unreached: readonly string[];
  readonly seconds: number;
  readonly load: LoadCounts;
  /** Replies that no client may get, and mail that Postfix returned to its sender. */
  readonly violations: readonly string[];
  readonly failedStarts: readonly string[];
  readonly recoveryMs: { readonly kills: number; readonly median: number; readonly max: number };
  /** Deliveries that the sidecar recognised: "already stored". */
  readonly recognised: number;
  /** Left in `tmp/` by killed processes at the end, and after they were made old and the sidecar started again. */
  readonly temporaryFiles: { readonly left: number; readonly afterAging: number };
  readonly promises: PromisesReport;
}

/** True when every promise was kept and every kill happened where it was meant to. */
export function kept(report: CrashRunReport): boolean {
  const { promises, violations, unreached, failedStarts, temporaryFiles } = report;
  const lists = [promises.lost, promises.duplicates, promises.problems, violations, unreached, failedStarts];
  return lists.every(list => list.length === 0) && temporaryFiles.afterAging === 0;
}

export async function crashRun(options: CrashRunOptions): Promise<CrashRunReport> {
  const site = await startMailSite({
    users: ACCOUNTS,
    domain: DOMAIN,
    aliases: Object.fromEntries(Object.entries(POSTFIX_ALIASES).map(([from, to]) => [from, [to]])),
    postfixSettings: QUICK_RETRIES,
  });
  try {
    return await new CrashRun(site, options).run();
  } finally {
    await site.stop();
  }
}

class CrashRun {
  readonly #site: MailSite;
  readonly #options: CrashRunOptions;
  readonly #ledger: CrashLedger;
  readonly #load: CrashLoad;
  readonly #killer: Killer;
  readonly #promises: Promises;
  readonly #dataDir: string;
  readonly #started = performance.now();
  readonly #kills: KillCount;
  readonly #recoveries: number[] = [];

  constructor(site: MailSite, options: CrashRunOptions) {
    const { sidecar, postfix } = site;
    const random = new SeededRandom(options.seed);
    this.#site = site;
    this.#options = options;
    this.#kills = new KillCount(options.onKill);
    this.#dataDir = join(sidecar.dir, "data");
    this.#ledger = new CrashLedger(join(sidecar.dir, "ledger.jsonl"));
    const all = { ...POSTFIX_ALIASES, ...SIDECAR_ALIASES, ...SPELLINGS };
    this.#load = new CrashLoad({
      ledger: this.#ledger,
      random,
      smtpPort: postfix.smtpPort,
      lmtpPort: sidecar.lmtpPort,
      addresses: new Map([...ACCOUNTS.map(one => [one, one] as const), ...Object.entries(all)]),
      postfixOnly: new Set(Object.keys(POSTFIX_ALIASES)),
    });
    this.#killer = new Killer({
      sidecar,
      dataDir: this.#dataDir,
      load: this.#load,
      random,
      flush: () => postfix.flush(),
    });
    this.#promises = new Promises({
      ledger: this.#ledger,
      accounts: ACCOUNTS,
      dataDir: this.#dataDir,
      scrub: () => scrubFindings(sidecar),
      withImap: (account, work) => site.withImap(account, "direct", work),
    });
  }

  async run(): Promise<CrashRunReport> {
    const { kills, every, seconds = Number.POSITIVE_INFINITY, onPhase } = this.#options;
    await this.#makeAccounts();
    this.#load.start();
    await this.#load.warmUp();
    try {
      let phase = 0;
      let phaseKills = 0;
      for (const [i, kill] of kills.entries()) {
        const { recoveryMs } = await this.#kills.kill(this.#killer, kill);
        if (recoveryMs !== undefined) this.#recoveries.push(recoveryMs);
        phaseKills += 1;
        const last = i === kills.length - 1 || this.#seconds() > seconds;
        if (phaseKills < every && !last) continue;
        phase += 1;
        onPhase?.(await this.#phase(phase, phaseKills, last));
        phaseKills = 0;
        if (last) break;
      }
    } finally {
      await this.#load.stop();
    }
    return this.#report();
  }

  async #makeAccounts(): Promise<void> {
    const { sidecar } = this.#site;
    for (const account of ACCOUNTS) await mustDo(sidecar.mairust(["account", "add", account]), account);
    for (const [alias, account] of Object.entries(SIDECAR_ALIASES))
      await mustDo(sidecar.mairust(["account", "alias", "add", account, alias]), alias);
  }

  async #phase(phase: number, kills: number, all: boolean): Promise<PhaseReport> {
    const started = performance.now();
    await this.#killer.start();
    await this.#load.settle();
    await emptyQueue(this.#site.postfix);
    const drainSeconds = rounded((performance.now() - started) / 1000);
    const promises = await this.#promises.check(all);
    return { phase, kills, seconds: rounded(this.#seconds()), drainSeconds, promises };
  }

  async #report(): Promise<CrashRunReport> {
    const left = this.#temporaryFiles().length;
    await this.#ageTemporaryFiles();
    await emptyQueue(this.#site.postfix);
    const promises = await this.#promises.check(true);
    const recoveries = this.#recoveries.sort((a, b) => a - b);
    return {
      seed: this.#options.seed,
      ...this.#kills.report(),
      seconds: rounded(this.#seconds()),
      load: this.#load.counts,
      violations: [...this.#load.violations, ...(await bounced(this.#site.postfix))],
      failedStarts: this.#killer.failedStarts,
      recoveryMs: {
        kills: recoveries.length,
        median: recoveries[Math.floor(recoveries.length / 2)] ?? 0,
        max: recoveries.at(-1) ?? 0,
      },
      recognised: this.#site.sidecar.logText().split("(already stored)").length - 1,
      temporaryFiles: { left, afterAging: this.#temporaryFiles().filter(isOfTheDead).length },
      promises,
    };
  }

  #temporaryFiles(): readonly string[] {
    const dir = join(this.#dataDir, "blobs", "tmp");
    return readdirSync(dir).map(name => join(dir, name));
  }

  /** The service removes what dead processes left once it is older than any delivery: a start must leave none of those. */
  async #ageTemporaryFiles(): Promise<void> {
    const past = Date.now() / 1000 - AGED_S;
    await this.#site.sidecar.kill();
    for (const file of this.#temporaryFiles()) utimesSync(file, past, past);
    await this.#killer.start();
  }

  #seconds(): number {
    return (performance.now() - this.#started) / 1000;
  }
}

async function mustDo(
  command: Promise<{ readonly code: number | null; readonly stderr: string }>,
  what: string,
) {
  const { code, stderr } = await command;
  if (code !== 0) throw new Error(`cannot make "${what}": ${stderr}`);
}

function rounded(seconds: number): number {
  return Math.round(seconds * 10) / 10;
}

/** A process may have the number of a killed one by now: the service leaves such a file for a day. */
function isOfTheDead(file: string): boolean {
  const [, pid = ""] = basename(file).split(".");
  return !existsSync(`/proc/${pid}`);
}
