/** Stages of domains and accounts for the administration; `store/stages.ts` implements it. */
import type { ChangeOptions, Page, PageRequest } from "../admin-ports.ts";
import type { Stage } from "./directory.ts";

/** The stage of a domain, or of one account. */
export interface StageRecord {
  readonly kind: "domain" | "account";
  /** Name of the domain, or canonical address. */
  readonly scope: string;
  readonly domain: string;
  /** In effect: the account's own, else its domain's. */
  readonly stage: Stage;
  /** Of an account: its own. */
  readonly own: Stage | undefined;
  /** The domain's. */
  readonly domainStage: Stage;
  /** Next hop of the stages before `store`: the domain's. */
  readonly relayLmtp: string | undefined;
  /** A configuration file names it. */
  readonly relayByFile: boolean;
  /** Rises with each change of this object. */
  readonly version: number;
  /** Of the stage in effect. */
  readonly since: Date;
  /** Who set it, as the audit log has it; "": its first value. */
  readonly by: string;
  /** Of a domain: accounts in all, and those with another stage; of an account 1 and 0. */
  readonly accounts: number;
  readonly accountsApart: number;
}

export interface StageChange {
  /** undefined: of an account, its own is taken away. */
  readonly stage: Stage | undefined;
  /** Of a domain; null: none. */
  readonly relayLmtp?: string | null;
}

/** What is wrong with the verifications of accounts that would change their stage. */
export interface VerifyGap {
  /** `missing`: never compared; `stale`: too long ago, or before the stage now in effect; `different`: not the same. */
  readonly reason: "missing" | "stale" | "different";
  readonly accounts: number;
  /** Some of them. */
  readonly examples: readonly string[];
}

export interface VerifyRules {
  /** Comparisons that began before do not count. */
  readonly notBefore: Date;
  /**
   * `equal`: nothing differs. `carried`: nothing of ours lacks there but mail that arrived since shortly before the comparison, and
   * bytes and flags are the same; what is only there is no loss.
   */
  readonly want: "equal" | "carried";
}

export interface StageAdmin {
  /** Domains by name. */
  list(page: PageRequest): Promise<Page<StageRecord>>;
  /** @param scope  a domain, or an account's own address. @throws {MairustError} `unknown_domain`, `unknown_account`, `address_syntax` */
  get(scope: string): Promise<StageRecord>;
  /**
   * In effect here when it resolves, on other nodes as soon as they hear of the commit.
   * @param version  that the caller saw
   * @throws {StaleVersion} it was changed meanwhile; {MairustError} as `get`
   */
  set(
    scope: string,
    change: StageChange,
    version: number,
    options: ChangeOptions & { readonly who: string },
  ): Promise<StageRecord>;
  /** Of the accounts that follow the stage of this scope. @returns empty: all are verified */
  verifyGaps(record: StageRecord, rules: VerifyRules): Promise<readonly VerifyGap[]>;
}
