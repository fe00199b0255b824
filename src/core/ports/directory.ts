/** Domains and accounts as the mail path sees them; `store/directory.ts` implements it. */
import type { MailAddress } from "../envelope.ts";
import type { AccountId } from "../ids.ts";

export type Stage = "observe" | "hooks" | "mirror" | "store";

export interface Domain {
  /** Lower-case A-label. */
  readonly name: string;
  readonly tenant: string;
  readonly stage: Stage;
  readonly accounts: "auto" | "listed";
  readonly quotaBytes: number;
}

export interface Account {
  readonly id: AccountId;
  /** Canonical `local@domain`, lower case, NFC. */
  readonly address: string;
  readonly domain: string;
  /** 0: no limit. */
  readonly quotaBytes: number;
  readonly usedBytes: number;
  readonly usedMessages: number;
}

/** Where mail for one RCPT goes. `detail` is the sub-address (`user+detail@`). */
export interface ResolvedRecipient {
  readonly account: Account;
  readonly domain: Domain;
  readonly detail?: string;
}

export interface Directory {
  /**
   * Find the account of a recipient: exact address, alias, then without `+detail`; creates it in an `auto` domain.
   * @throws {MairustError} `unknown_domain`, `unknown_account`, `store_unavailable`
   */
  resolveRecipient(address: MailAddress): Promise<ResolvedRecipient>;
  /** As above, but never creates and returns undefined for unknown ones. */
  findAccount(address: MailAddress): Promise<ResolvedRecipient | undefined>;
  /** A domain by its name as received, in any spelling. Remembered for a moment. @throws {MairustError} `store_unavailable` */
  findDomain(name: string): Promise<Domain | undefined>;
}
