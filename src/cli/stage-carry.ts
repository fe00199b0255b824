/**
 * The way down from `store`: what only the sidecar has goes back to Dovecot's own mailboxes, mail and flags, in passes that each copy
 * what is new. Before the stage turns: until a pass finds nothing, then both sides are compared and the result is recorded, which is what
 * the service asks for. After it:
 *
 * Mail whose RCPT was answered while the stage was `store` is stored here alone, also when that ends after the switch. It takes as long
 * as one transaction may (`settled_at` says until when); so the last passes go on until then, and one of them comes after it. Mail
 * accepted from the switch on is with Dovecot before its copy shows here; a pass is about what was here before it looked there, finds
 * it there by its bytes and sends nothing twice. Then both are compared again.
 *
 * The passes go to the mailboxes that Dovecot keeps for itself, while clients still read the sidecar's: a login by a master user has
 * them (dovecot/README.md). Everything may be run again at any time: what was carried is known by the service and by its bytes.
 * What a user read while Dovecot showed the sidecar's mail is in Dovecot's private record: it is taken from there first (`stage-read.ts`).
 */
import { sleep } from "../platform/deadline.ts";
import type { VerifyResult } from "../wire/api/transfer.ts";

/** Passes over one account before the stage turns: under load each finds some mail, and the last ones come after it. */
const MAX_PASSES = 5;
/** Comparisons of one account after it, each with a pass before. */
const MAX_LAST_ROUNDS = 5;
/** Accounts at a time. */
const ACCOUNTS_AT_ONCE = 4;
const BETWEEN_ROUNDS_MS = 500;

/** What one pass over one account did. */
export interface Pass {
  readonly copied: number;
  readonly flagsUpdated: number;
  readonly expunged: number;
  /** Messages that could not be carried, each with its reason. */
  readonly problems: readonly string[];
}

/** The engines, bound to both servers. */
export interface Carrier {
  /** What users have read in `store` is read here too. @returns messages; never rejects */
  read(account: string): Promise<number>;
  /** @param expunge  what an earlier pass brought there and is no longer here goes there too: moved mail is not there twice */
  pass(account: string, expunge: boolean): Promise<Pass>;
  /** Compares, and records the result at the service. */
  verify(account: string): Promise<VerifyResult>;
}

export interface AccountCarried {
  readonly account: string;
  /** Messages that its user had read in `store`. */
  readonly read: number;
  readonly passes: number;
  readonly copied: number;
  readonly flags_updated: number;
  readonly expunged: number;
  /** Of the last comparison. */
  readonly only_here: number;
  /** No loss: clients put it there, or it was removed here. */
  readonly only_there: number;
  readonly bytes_differ: number;
  /** After the step: of mail that both sides were given, which hooks marked here. */
  readonly flags_differ: number;
  /** Of the last pass. */
  readonly problems: readonly string[];
}

/**
 * Passes until one finds nothing new, then a comparison; each account by itself. Here is still the only place where mail changes, so what
 * is gone here goes there.
 * @throws what an engine throws: nothing has changed but what is there already
 */
export function carryBack(carrier: Carrier, accounts: readonly string[]): Promise<readonly AccountCarried[]> {
  return eachOf(accounts, async account => {
    let carried = { ...nothing(account), read: await carrier.read(account) };
    do carried = add(carried, await carrier.pass(account, true));
    while (carried.isMoving && carried.passes < MAX_PASSES);
    return compared(carried, await carrier.verify(account));
  });
}

/**
 * After the stage has turned: the rest, and whether both sides are the same now.
 * @param settledAt  no mail is under way any more that was accepted before
 * @param betweenRoundsMs  from a comparison that found something to the next pass
 */
export async function carryRest(
  carrier: Carrier,
  accounts: readonly string[],
  settledAt: Date,
  say: (text: string) => void,
  betweenRoundsMs = BETWEEN_ROUNDS_MS,
): Promise<readonly AccountCarried[]> {
  const first = await eachOf(accounts, async account =>
    add(nothing(account), await carrier.pass(account, false)),
  );
  const waitMs = settledAt.getTime() - Date.now();
  if (waitMs > 0) {
    say(`waiting ${Math.ceil(waitMs / 1000)} s for mail that was accepted before the step\n`);
    await sleep(waitMs);
    // Timers and the clock of the day round differently.
    while (Date.now() < settledAt.getTime()) await sleep(1);
  }
  return eachOf(first, async before => {
    let carried: AccountCarried = before;
    for (let round = 0; ; round += 1) {
      // Clients read here until the servers change.
      const read = carried.read + (await carrier.read(before.account));
      const next = add({ ...carried, read }, await carrier.pass(before.account, false));
      carried = compared(next, await carrier.verify(before.account));
      if (isDone(carried) || round + 1 >= MAX_LAST_ROUNDS) return carried;
      await sleep(betweenRoundsMs);
    }
  });
}

/** Nothing is only here, no bytes differ, nothing failed. */
export function isDone({ only_here: onlyHere, bytes_differ: bytes, problems }: AccountCarried): boolean {
  return onlyHere === 0 && bytes === 0 && problems.length === 0;
}

/** One report of what was done before the step and after it. */
export function together(
  before: readonly AccountCarried[],
  after: readonly AccountCarried[],
): readonly AccountCarried[] {
  const known = new Map(before.map(one => [one.account, one]));
  return after.map(one => {
    const first = known.get(one.account);
    if (first === undefined) return one;
    return {
      ...one,
      read: first.read + one.read,
      passes: first.passes + one.passes,
      copied: first.copied + one.copied,
      flags_updated: first.flags_updated + one.flags_updated,
      expunged: first.expunged + one.expunged,
    };
  });
}

type Running = AccountCarried & { readonly isMoving: boolean };

const nothing = (account: string): Running => ({
  ...{ account, read: 0, passes: 0, copied: 0, flags_updated: 0, expunged: 0 },
  ...{ only_here: 0, only_there: 0, bytes_differ: 0, flags_differ: 0, problems: [], isMoving: true },
});

function add(so: AccountCarried, pass: Pass): Running {
  return {
    ...so,
    passes: so.passes + 1,
    copied: so.copied + pass.copied,
    flags_updated: so.flags_updated + pass.flagsUpdated,
    expunged: so.expunged + pass.expunged,
    // What failed before was tried again.
    problems: pass.problems,
    isMoving: pass.copied + pass.flagsUpdated + pass.expunged > 0,
  };
}

function compared({ isMoving: _, ...carried }: Running, { mailboxes }: VerifyResult): AccountCarried {
  const sum = (of: (mailbox: VerifyResult["mailboxes"][number]) => number) =>
    mailboxes.reduce((total, mailbox) => total + of(mailbox), 0);
  return {
    ...carried,
    only_here: sum(m => m.extra),
    only_there: sum(m => m.missing),
    bytes_differ: sum(m => m.bytes_differ),
    flags_differ: sum(m => m.flags_differ),
  };
}

/** Some at a time. @returns in their order */
export async function eachOf<T, R>(all: readonly T[], each: (one: T) => Promise<R>): Promise<readonly R[]> {
  const done = new Array<R>(all.length);
  const waiting = [...all.entries()];
  const work = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift())
      done[next[0]] = await each(next[1]);
  };
  await Promise.all(Array.from({ length: ACCOUNTS_AT_ONCE }, work));
  return done;
}
