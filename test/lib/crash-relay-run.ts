/**
 * One crash run of the relay stages: a private Postfix, a sidecar with domains in `hooks` and `mirror`, and a Dovecot behind it that
 * stays up. After every few kills an empty queue, and then: nothing accepted is missing in Dovecot; what is there twice is not more
 * than the relays that a kill left open in the journal; the mirror's copies are there once.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import {
  bounced,
  type CrashOptions,
  emptyQueue,
  KillCount,
  QUICK_RETRIES,
  scrubFindings,
} from "./crash-common.ts";
import { Killer } from "./crash-killer.ts";
import { CrashLedger, type Judgement } from "./crash-ledger.ts";
import { CrashLoad, type LoadCounts } from "./crash-load.ts";
import { Promises, type PromisesReport } from "./promises.ts";
import { SeededRandom } from "./random.ts";
import { inboxOf, type RelaySite, startRelaySite } from "./relay-site.ts";

const MIRRORED = ["one", "two"].map(name => `${name}@mirror.test`);
const ACCOUNTS = [...["one", "two"].map(name => `${name}@hooks.test`), ...MIRRORED];
/** Dovecot's trace fields, ours, and Postfix's when it came through it. Dovecot names a recipient only when there is one. */
const DOVECOT_PREFIX =
  /^Return-Path: <[^\r]*>\r\n(?:Delivered-To: [^\r]+\r\n)?(?:Received: [^\r]+\r\n(?:[ \t][^\r]*\r\n)*){2,3}$/u;

export interface RelayCrashReport {
  readonly seed: number;
  readonly kills: number;
  readonly killsByName: Readonly<Record<string, number>>;
  readonly unreached: readonly string[];
  readonly load: LoadCounts;
  readonly violations: readonly string[];
  readonly failedStarts: readonly string[];
  /** In Dovecot. */
  readonly dovecot: Judgement & { readonly problems: readonly string[] };
  /** Copies there beyond those that were sent. */
  readonly twice: number;
  /** Recipients of relays that were open in the journal after a kill: as many copies may be there twice. */
  readonly windows: number;
  /** Of those that were sent again, as the service counted them. */
  readonly counted: number;
  /** The mirror's copies here. */
  readonly mirror: PromisesReport;
}

export function relayKept(report: RelayCrashReport): boolean {
  const { dovecot, mirror, violations, unreached, failedStarts, twice, windows, counted } = report;
  const lists = [dovecot.lost, dovecot.problems, mirror.lost, mirror.duplicates, mirror.problems];
  const isExplained = twice <= windows && twice <= counted;
  return isExplained && [...lists, violations, unreached, failedStarts].every(list => list.length === 0);
}

export async function relayCrashRun(options: CrashOptions): Promise<RelayCrashReport> {
  const site = await startRelaySite({
    stages: { "hooks.test": "hooks", "mirror.test": "mirror" },
    users: ACCOUNTS,
    postfixSettings: QUICK_RETRIES,
  });
  try {
    return await new RelayCrashRun(site, options).run();
  } finally {
    await site.stop();
  }
}

class RelayCrashRun {
  readonly #site: RelaySite;
  readonly #options: CrashOptions;
  readonly #ledger: CrashLedger;
  readonly #load: CrashLoad;
  readonly #killer: Killer;
  readonly #promises: Promises;
  readonly #dataDir: string;
  readonly #kills: KillCount;
  /** Relay to its recipients. */
  readonly #windows = new Map<string, number>();

  constructor(site: RelaySite, options: CrashOptions) {
    const { sidecar, postfix } = site;
    const random = new SeededRandom(options.seed);
    this.#site = site;
    this.#options = options;
    this.#kills = new KillCount(options.onKill);
    this.#dataDir = join(sidecar.dir, "data");
    this.#ledger = new CrashLedger(join(sidecar.dir, "ledger.jsonl"));
    this.#load = new CrashLoad({
      ledger: this.#ledger,
      random,
      smtpPort: postfix.smtpPort,
      lmtpPort: sidecar.lmtpPort,
      addresses: new Map(ACCOUNTS.map(one => [one, one])),
      postfixOnly: new Set(),
    });
    const flush = () => postfix.flush();
    this.#killer = new Killer({ sidecar, dataDir: this.#dataDir, load: this.#load, random, flush });
    this.#promises = new Promises({
      ledger: this.#ledger,
      accounts: MIRRORED,
      relays: true,
      dataDir: this.#dataDir,
      scrub: () => scrubFindings(sidecar),
      withImap: (account, work) => site.withImap(account, "direct", work),
    });
  }

  async run(): Promise<RelayCrashReport> {
    const { kills, every, seconds = Number.POSITIVE_INFINITY } = this.#options;
    const started = performance.now();
    this.#load.start();
    await this.#load.warmUp();
    try {
      for (const [i, kill] of kills.entries()) {
        await this.#kills.kill(this.#killer, kill, () => {
          if (!this.#site.sidecar.running()) this.#noteOpenRelays();
        });
        if ((i + 1) % every === 0) await this.#calm();
        if ((performance.now() - started) / 1000 > seconds) break;
      }
      await this.#calm();
    } finally {
      await this.#load.stop();
    }
    return this.#report();
  }

  /**
   * Relays of which nobody knows the end: those that a process left open, this one or one before it, whose lines the journal keeps until
   * the mail came again; and those whose connection broke before the answer (`left`), in a process that goes on.
   */
  #noteOpenRelays(): void {
    const isRunning = this.#site.sidecar.running();
    const own = `${this.#site.sidecar.pid}-`;
    const unknown = new Map<string, number>();
    for (const text of readFileSync(join(this.#dataDir, "relay", "journal"), "utf8").split("\n")) {
      if (!text.endsWith("}")) continue;
      const line = JSON.parse(text) as { k: string; id: string; r?: string[]; left?: string[] };
      if (line.k === "sent" && (!isRunning || !line.id.startsWith(own)))
        unknown.set(line.id, line.r?.length ?? 0);
      if (line.k === "over" && line.left !== undefined) unknown.set(line.id, line.left.length);
      // Of an earlier one it says that the mail came again: it may be there twice all the same.
      else if (line.k === "over" && line.id.startsWith(own)) unknown.delete(line.id);
    }
    for (const [id, recipients] of unknown)
      this.#windows.set(id, Math.max(recipients, this.#windows.get(id) ?? 0));
  }

  async #calm(): Promise<void> {
    await this.#killer.start();
    this.#noteOpenRelays();
    await this.#load.settle();
    await emptyQueue(this.#site.postfix);
  }

  async #report(): Promise<RelayCrashReport> {
    const { sidecar, postfix } = this.#site;
    const dovecot = await this.#dovecot();
    return {
      seed: this.#options.seed,
      ...this.#kills.report(),
      load: this.#load.counts,
      violations: [...this.#load.violations, ...(await bounced(postfix))],
      failedStarts: this.#killer.failedStarts,
      dovecot,
      twice: dovecot.duplicates.reduce((sum, text) => sum + excess(text), 0),
      windows: [...this.#windows.values()].reduce((sum, n) => sum + n, 0),
      counted: sidecar.logText().split("relayed perhaps a second time").length - 1,
      mirror: await this.#promises.check(true),
    };
  }

  async #dovecot() {
    const found = new Map<string, readonly string[]>();
    const problems: string[] = [];
    for (const account of ACCOUNTS) {
      const copies = await this.#site.withImap(account, "dovecot", inboxOf);
      const ids = copies.map((bytes, i) => {
        const name = this.#ledger.identify({ account, uid: i + 1, bytes }, prefix =>
          DOVECOT_PREFIX.test(prefix),
        );
        if ("id" in name) return name.id;
        problems.push(`Dovecot: ${name.problem}`);
        return `?${i}`;
      });
      found.set(account, ids);
    }
    return { ...this.#ledger.judge(found), problems };
  }
}

/** `account content: 3 of 2`: one. */
function excess(text: string): number {
  const [, there = "0", must = "0"] = /: (\d+) of (\d+)$/u.exec(text) ?? [];
  return Number(there) - Number(must);
}
