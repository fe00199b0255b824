/**
 * Every promise of stage `store`, checked after kills: what was accepted is there once and byte for byte, UIDs and counters are
 * consistent, database and blobs agree. All checks of the crash tests meet here.
 */
import type { ImapFlow } from "imapflow";
import type { CrashLedger, Judgement } from "./crash-ledger.ts";
import { ImapPromises } from "./promises-imap.ts";
import { checkStore, type StoreReport, storedAs } from "./promises-store.ts";

/** Findings whose rows are looked up. */
const EVIDENCE = 5;

export interface PromisesOptions {
  readonly ledger: CrashLedger;
  readonly accounts: readonly string[];
  /** Mail is relayed too: what a kill leaves of it may wait for the collector, and other accounts have nothing here. */
  readonly relays?: true;
  readonly dataDir: string;
  /** `mairust scrub`: what it found, nothing when it is clean. */
  scrub(): Promise<readonly string[]>;
  /** Work with a client that is logged in as the account. */
  withImap<T>(account: string, work: (client: ImapFlow) => Promise<T>): Promise<T>;
}

export interface PromisesReport extends Judgement {
  /** Everything that was not kept, but for `lost` and `duplicates`. */
  readonly problems: readonly string[];
  /** Rows about what was lost or is there twice. */
  readonly evidence: readonly object[];
  readonly read: number;
  readonly store: Omit<StoreReport, "problems">;
}

export class Promises {
  readonly #options: PromisesOptions;
  readonly #imap: ImapPromises;
  readonly #startedMs = Date.now();

  constructor(options: PromisesOptions) {
    this.#options = options;
    this.#imap = new ImapPromises(options.ledger);
  }

  /**
   * Needs an empty queue, clients that have their answers, and a sidecar that runs.
   * @param all  read every message again, not only the new ones and a sample
   */
  async check(all: boolean): Promise<PromisesReport> {
    const { accounts, dataDir, ledger, withImap } = this.#options;
    const problems: string[] = [];
    let read = 0;
    for (const account of accounts) {
      const report = await withImap(account, client => this.#imap.look(client, account, all));
      problems.push(...report.problems);
      read += report.read;
    }
    const { problems: storeProblems, ...store } = await checkStore(
      dataDir,
      this.#startedMs,
      this.#options.relays,
    );
    problems.push(...storeProblems);
    // The product's own check of its store, beside ours: they must agree that nothing is wrong.
    problems.push(...(await this.#options.scrub()));
    const judgement = ledger.judge(this.#imap.found, account => accounts.includes(account));
    const wrong = [...judgement.lost, ...judgement.duplicates].slice(0, EVIDENCE);
    const contents = wrong.map(text => /^\S+ (\S+):/u.exec(text)?.[1] ?? text);
    const evidence = wrong.length === 0 ? [] : await storedAs(dataDir, contents);
    return { ...judgement, problems, evidence, read, store };
  }
}
