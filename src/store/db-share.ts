/**
 * A part of the pool for one kind of work (below everything that IMAP asks of the store): what clients ask for, however many they are,
 * never holds all connections, so that a delivery finds one at once. What is beyond the share waits here: accounts in turn, and what is of
 * one account in the order of its coming, so that nobody waits behind all that another's connections ask for. Logins are not of one
 * account: each address that is named has a turn for its one look-up, or all logins together would have as many as one busy account.
 * Failures: `store_unavailable` when no turn comes in time or too many wait, as the pool's own.
 */
import { MairustError } from "../core/errors.ts";
import type { AccountId, MailboxId } from "../core/ids.ts";
import { deadlineAfter } from "../platform/deadline.ts";
import { Turns } from "../platform/turns.ts";
import type { Db } from "./db.ts";

/** Operations that may wait for their turn. */
const MAX_WAITING = 10_000;
/** Longest wait for a turn: as long as for a connection. */
const TURN_MS = 10_000;

/** What IMAP has of a pool; the rest is for mail that arrives, for jobs and for operators. */
export function imapShare(pool: number): number {
  return Math.max(1, Math.floor(pool / 2));
}

/** Whose work it is: an account's, or before a login the address that somebody names. Undefined: nobody's that is known. */
export type Whose = AccountId | string | undefined;

/** The database for the work of one of them. */
export type DbOf = (whose: Whose) => Db;

/** Whose a mailbox is; undefined: it is not open here. */
export type OwnerOf = (mailbox: MailboxId) => AccountId | undefined;

/**
 * @param running  operations at a time, each with a connection
 * @param turnMs   longest wait for a turn
 */
export function shareOf(db: Db, running: number, turnMs = TURN_MS): DbOf {
  const turns = new Turns({
    running,
    waiting: MAX_WAITING,
    refusal: `Cannot use the database: ${MAX_WAITING} operations wait for a turn already`,
    publicText: PUBLIC_TEXT,
  });
  /** @param work  must not take a turn again: all turns might wait for each other */
  const inTurn = async <T>(whose: Whose, work: () => Promise<T>): Promise<T> => {
    const wait = deadlineAfter(turnMs);
    let began = false;
    try {
      const begin = () => {
        began = true;
        wait.dispose();
        return work();
      };
      return await turns.take(begin, wait.signal, whose);
    } catch (error) {
      throw began ? error : noTurn(error);
    } finally {
      wait.dispose();
    }
  };
  return whose => ({
    query: (strings, ...values) => inTurn(whose, () => db.query(strings, ...values)),
    run: (strings, ...values) => inTurn(whose, () => db.run(strings, ...values)),
    begin: (work, options, deadline) => inTurn(whose, () => db.begin(work, options, deadline)),
    listen: (channel, onNotify, onReconnect) => db.listen(channel, onNotify, onReconnect),
    notify: (channel, payload) => db.notify(channel, payload),
    get counts() {
      return db.counts;
    },
    close: deadline => db.close(deadline),
  });
}

const PUBLIC_TEXT = "mail storage is busy, try again";

function noTurn(cause: unknown): MairustError {
  const why = "no turn came in time, or too many operations wait";
  return new MairustError("store_unavailable", `Cannot use the database: ${why}`, {
    cause,
    publicText: PUBLIC_TEXT,
  });
}
