/** Domains and accounts as the mail path sees them; `store/directory.ts` implements it. */
import type { MailAddress } from "../envelope.ts";
import { type AccountId, accountId } from "../ids.ts";

export type Stage = "observe" | "hooks" | "mirror" | "store";

export interface Domain {
  /** Lower-case A-label. */
  readonly name: string;
  readonly tenant: string;
  /** Of accounts without one of their own. */
  readonly stage: Stage;
  readonly accounts: "auto" | "listed";
  readonly quotaBytes: number;
  /** Next hop of the stages before `store`, as `listen` specifications are written; undefined: none is set. */
  readonly relayLmtp: string | undefined;
  /** Some of its addresses may be in another stage: accounts with one of their own, aliases of another domain's accounts. */
  readonly hasAccountStages: boolean;
}

/** Whose mail is relayed only: the next hop knows the recipient, no account here does. Nothing is ever stored under it. */
export const NO_ACCOUNT = accountId(0);

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
  /** In the relay stages possibly {@link NO_ACCOUNT}. */
  readonly account: Account;
  /** The account's; without one that of the address. */
  readonly domain: Domain;
  /** The account's own, else its domain's. */
  readonly stage: Stage;
  readonly detail?: string;
}

export interface Directory {
  /**
   * Find the account of a recipient: exact address, alias, then without `+detail`; creates it in an `auto` domain whose stage keeps
   * mail here (`mirror`, `store`). In a relay stage who has no account is {@link NO_ACCOUNT}: the next hop says whether there is one.
   * @throws {MairustError} `unknown_domain`, `unknown_account`, `store_unavailable`
   */
  resolveRecipient(address: MailAddress): Promise<ResolvedRecipient>;
  /** As above, but never creates and returns undefined for unknown ones. */
  findAccount(address: MailAddress): Promise<ResolvedRecipient | undefined>;
  /** A domain by its name as received, in any spelling. Remembered for a moment. @throws {MairustError} `store_unavailable` */
  findDomain(name: string): Promise<Domain | undefined>;
}

/** What is there; makes no accounts. */
export type KnownDirectory = Pick<Directory, "findAccount" | "findDomain">;
