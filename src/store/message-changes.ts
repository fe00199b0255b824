/**
 * What plugins want changed of stored mail (message path, step 8): tags, flags, metadata and the mailbox of one message's copies in
 * the accounts that are named, in one transaction, with its timeline.
 *
 * Locks as in `store_deliveries` (0001_init.sql): accounts by id, then mailboxes by id; what is read after them is younger than they
 * are. MODSEQs and UIDs are taken under these locks, and the triggers on `entries` hold counters and the expunge log. A move is a new
 * entry in the one mailbox and an expunge in the other (RFC 6851 §3.3). Who applies the same again finds it done: nothing is written.
 * Failures: `store_unavailable`; nothing is changed then.
 */

import { copyChanges } from "../core/copy-changes.ts";
import { MairustError } from "../core/errors.ts";
import type { AccountId, MailboxId } from "../core/ids.ts";
import { accountId, mailboxId } from "../core/ids.ts";
import {
  type ChangeRequest,
  type ChangeResult,
  MAX_CHANGE_ACCOUNTS,
  type StoredMessages,
} from "../core/ports/message-changes.ts";
import type { TimelineEvent } from "../core/ports/timeline.ts";
import type { MailboxChanges } from "./changes.ts";
import { type Db, jsonText, type Tx } from "./db.ts";
import { changeEntry, type EntryState } from "./entry-changes.ts";
import { insertJournal, type JournalRow } from "./journal-rows.ts";
import { createMailboxes, normalizeMailboxName } from "./mailbox-names.ts";
import { accountsOf, dropRelayed, findByQueueId, findStored } from "./stored-messages.ts";

/** How long a change waits for an account or a mailbox that somebody holds: its own locks hold up deliveries. */
const LOCK_MS = 2_000;

export interface StoredMessagesOptions {
  readonly db: Db;
  readonly changes: MailboxChanges;
}

export function createStoredMessages({ db, changes }: StoredMessagesOptions): StoredMessages {
  return {
    find: id => findStored(db, id),
    findByQueueId: (queueId, since, limit) => findByQueueId(db, queueId, since, limit),
    dropRelayed: copies => dropRelayed(db, copies),
    accountsOf: id => accountsOf(db, id),
    async apply(request) {
      if (request.accounts.length > MAX_CHANGE_ACCOUNTS)
        throw new MairustError("too_many", `Cannot change ${request.accounts.length} accounts at once`);
      const { results, touched } = await db.begin(tx => changeCopies(tx, request));
      if (touched.length > 0) changes.publish(touched);
      return results;
    },
  };
}

interface Entry extends EntryState {
  readonly account: AccountId;
  readonly box: number;
  readonly uid: number;
}

/** A locked mailbox, and what is taken of it. */
interface Box {
  readonly id: number;
  readonly name: string;
  readonly account: AccountId;
  uidNext: number;
  modseq: number;
}

/** What becomes of one entry. */
interface Step {
  readonly entry: Entry;
  readonly state: EntryState;
  /** Undefined: it stays where it is. */
  readonly to: Box | undefined;
  readonly uid: number;
  readonly modseq: number;
  readonly what: Readonly<Record<string, unknown>>;
}

export interface Applied {
  readonly results: readonly ChangeResult[];
  readonly touched: readonly MailboxId[];
}

/** Within somebody's transaction, whose first locks these are. The caller tells of `touched` mailboxes after the commit. */
export async function changeCopies(tx: Tx, request: ChangeRequest): Promise<Applied> {
  const addresses = await lockAccounts(tx, request.accounts);
  const folder = usableFolder(request.changes.folder);
  if (folder.name !== undefined) await makeMissing(tx, request, folder.name);
  const boxes = await lockMailboxes(tx, request, folder.name);
  const entries = await readEntries(tx, request, boxes);
  const plan = new Plan(request, boxes, folder);
  // MODSEQs in the order of the statements below.
  for (const entry of entries) if (!plan.moves(entry)) plan.add(entry);
  for (const entry of entries) if (plan.moves(entry)) plan.add(entry);
  await updateEntries(
    tx,
    plan.steps.filter(step => step.to === undefined),
  );
  await moveEntries(
    tx,
    plan.steps.filter(step => step.to !== undefined),
  );
  await insertJournal(tx, plan.journal());
  await recordEvents(tx, request, [...request.events, ...plan.events(addresses)]);
  return { results: plan.results(), touched: plan.touched() };
}

/** @returns their addresses; those that are gone are not among them */
async function lockAccounts(tx: Tx, accounts: readonly AccountId[]): Promise<ReadonlyMap<AccountId, string>> {
  await tx.query`select set_config('lock_timeout', ${String(LOCK_MS)}, true) as set`;
  const rows = await tx.query<{ id: number; address: string }>`
    select id, local_part || '@' || domain as address from accounts where id = any(${[...accounts]}::bigint[])
    order by id for no key update`;
  return new Map(rows.map(row => [accountId(row.id), row.address]));
}

interface Folder {
  /** Undefined: there is no move. */
  readonly name: string | undefined;
  readonly problem: string | undefined;
}

function usableFolder(folder: string | undefined): Folder {
  if (folder === undefined) return { name: undefined, problem: undefined };
  try {
    return { name: normalizeMailboxName(folder), problem: undefined };
  } catch {
    return { name: undefined, problem: `folder ${JSON.stringify(folder)}: the name is not allowed` };
  }
}

/** The folder, for accounts that have a copy, as deliveries make it. */
async function makeMissing(tx: Tx, { messageId, accounts }: ChangeRequest, name: string): Promise<void> {
  const rows = await tx.query<{ id: number }>`
    select distinct b.account_id as id from entries e join mailboxes b on b.id = e.mailbox_id
    where e.message_id = ${messageId}::uuid and b.account_id = any(${[...accounts]}::bigint[])
      and not exists (select from mailboxes x where x.account_id = b.account_id and x.name = ${name})
    order by id`;
  if (rows.length === 0) return;
  await createMailboxes(
    tx,
    rows.map(row => ({ accountId: accountId(row.id), name })),
  );
}

/** Of these accounts: where copies are, and where they go. */
async function lockMailboxes(
  tx: Tx,
  { messageId, accounts }: ChangeRequest,
  folder: string | undefined,
): Promise<readonly Box[]> {
  const rows = await tx.query<{
    id: number;
    name: string;
    account_id: number;
    uidnext: number;
    highest_modseq: number;
  }>`
    select id, name, account_id, uidnext, highest_modseq from mailboxes m
    where account_id = any(${[...accounts]}::bigint[]) and (
      name = ${folder ?? null}::text or exists (select from entries e where e.mailbox_id = m.id and e.message_id = ${messageId}::uuid)
    ) order by id for no key update`;
  return rows.map(row => ({
    id: row.id,
    name: row.name,
    account: accountId(row.account_id),
    uidNext: row.uidnext,
    modseq: row.highest_modseq,
  }));
}

async function readEntries(
  tx: Tx,
  { messageId }: ChangeRequest,
  boxes: readonly Box[],
): Promise<readonly Entry[]> {
  const rows = await tx.query<EntryState & { mailbox_id: number; uid: number }>`
    select mailbox_id, uid, flags, keywords, metadata from entries
    where message_id = ${messageId}::uuid and mailbox_id = any(${boxes.map(box => box.id)}::bigint[])
    order by mailbox_id, uid`;
  return rows.flatMap(({ mailbox_id: id, ...entry }) => {
    const box = boxes.find(one => one.id === id);
    return box === undefined ? [] : [{ ...entry, box: id, account: box.account }];
  });
}

/** Decides under the locks what each entry becomes, and tells it afterwards. */
class Plan {
  readonly steps: Step[] = [];
  readonly #request: ChangeRequest;
  readonly #boxes: readonly Box[];
  readonly #folder: Folder;
  readonly #seen = new Set<AccountId>();
  readonly #problems = new Map<AccountId, readonly string[]>();

  constructor(request: ChangeRequest, boxes: readonly Box[], folder: Folder) {
    this.#request = request;
    this.#boxes = boxes;
    this.#folder = folder;
  }

  moves(entry: Entry): boolean {
    const target = this.#target(entry);
    const onlyIn = this.#request.changes.undo?.onlyIn;
    const isHere =
      onlyIn === undefined || this.#boxes.some(box => box.id === entry.box && box.name === onlyIn);
    return target !== undefined && target.id !== entry.box && isHere;
  }

  #target(entry: Entry): Box | undefined {
    return this.#boxes.find(box => box.account === entry.account && box.name === this.#folder.name);
  }

  add(entry: Entry): void {
    const { state, what, notApplicable } = changeEntry(entry, this.#request.changes);
    const target = this.#target(entry);
    const to = this.moves(entry) ? target : undefined;
    this.#seen.add(entry.account);
    const problems = [...notApplicable, ...this.#folderProblem(target)];
    if (problems.length > 0) this.#problems.set(entry.account, problems);
    if (to === undefined && Object.keys(what).length === 0) return;
    const box = to ?? this.#boxes.find(one => one.id === entry.box);
    if (box === undefined) return;
    box.modseq += 1;
    const uid = to === undefined ? entry.uid : box.uidNext++;
    this.steps.push({ entry, state, to, uid, modseq: box.modseq, what });
  }

  #folderProblem(target: Box | undefined): readonly string[] {
    const { name, problem } = this.#folder;
    if (problem !== undefined) return [problem];
    return name === undefined || target !== undefined
      ? []
      : [`folder ${JSON.stringify(name)}: it cannot be made, the account has too many`];
  }

  results(): readonly ChangeResult[] {
    const changed = new Set(this.steps.map(step => step.entry.account));
    return this.#request.accounts.map(account => ({
      account,
      outcome: changed.has(account) ? "changed" : this.#seen.has(account) ? "unchanged" : "no_copy",
    }));
  }

  /** What the wishes behind the change came to, copy by copy. */
  journal(): readonly JournalRow[] {
    const { messageId, wishes = [] } = this.#request;
    if (wishes.length === 0) return [];
    const name = (id: number) => this.#boxes.find(box => box.id === id)?.name ?? "";
    return this.steps.flatMap(({ entry, state, to }) => {
      const before = { ...entry, mailbox: name(entry.box) };
      const after = { ...state, mailbox: to?.name ?? before.mailbox };
      return copyChanges(wishes, before, after).map(made => ({ messageId, account: entry.account, ...made }));
    });
  }

  touched(): readonly MailboxId[] {
    const ids = this.steps.flatMap(({ entry, to }) => (to === undefined ? [entry.box] : [entry.box, to.id]));
    return [...new Set(ids)].map(mailboxId);
  }

  /** One for each entry that changed, one for each account where something could not be applied. */
  events(addresses: ReadonlyMap<AccountId, string>): readonly TimelineEvent[] {
    const { job, by } = this.#request;
    const at = new Date();
    const about = (account: AccountId) => {
      const recipient = addresses.get(account);
      return { at, ...(recipient === undefined ? {} : { recipient }) };
    };
    return [
      ...this.steps.map(({ entry, to, uid, what }) => ({
        ...about(entry.account),
        kind: "changed" as const,
        data: { job, by, ...what, ...(to === undefined ? {} : { moved: this.#moved(entry, to, uid) }) },
      })),
      ...[...this.#problems].map(([account, problems]) => ({
        ...about(account),
        kind: "job" as const,
        data: { job, by, result: "not_applicable", problems },
      })),
    ];
  }

  #moved(entry: Entry, to: Box, uid: number) {
    return { from: this.#boxes.find(box => box.id === entry.box)?.name, to: to.name, uid };
  }
}

async function updateEntries(tx: Tx, steps: readonly Step[]): Promise<void> {
  if (steps.length === 0) return;
  await tx.query`
    update entries e set flags = r.f, modseq = r.q, metadata = r.m,
      keywords = coalesce((select array_agg(x) from json_array_elements_text(r.w) x), '{}')
    from json_to_recordset(${rowsOf(steps)}::text::json) as r(b bigint, u bigint, q bigint, f smallint, w json, m jsonb)
    where e.mailbox_id = r.b and e.uid = r.u`;
}

/** The new place first: a message that somebody has is never without an entry. */
async function moveEntries(tx: Tx, steps: readonly Step[]): Promise<void> {
  if (steps.length === 0) return;
  const rows = rowsOf(steps);
  await tx.query`
    insert into entries (mailbox_id, uid, modseq, message_id, flags, keywords, internal_date, prefix, size_bytes, metadata)
    select r.t, r.n, r.q, e.message_id, r.f, coalesce((select array_agg(x) from json_array_elements_text(r.w) x), '{}'),
           e.internal_date, e.prefix, e.size_bytes, r.m
    from json_to_recordset(${rows}::text::json)
        as r(b bigint, u bigint, t bigint, n bigint, q bigint, f smallint, w json, m jsonb)
      join entries e on e.mailbox_id = r.b and e.uid = r.u`;
  await tx.query`
    delete from entries e using json_to_recordset(${rows}::text::json) as r(b bigint, u bigint)
    where e.mailbox_id = r.b and e.uid = r.u`;
}

const rowsOf = (steps: readonly Step[]): string =>
  jsonText(
    steps.map(({ entry, state, to, uid, modseq }) => ({
      b: entry.box,
      u: entry.uid,
      t: to?.id ?? null,
      n: uid,
      q: modseq,
      f: state.flags,
      w: state.keywords,
      m: state.metadata,
    })),
  );

async function recordEvents(
  tx: Tx,
  { messageId }: ChangeRequest,
  events: readonly TimelineEvent[],
): Promise<void> {
  const [first] = events;
  if (first === undefined) return;
  await tx.query`
    insert into events (message_id, queue_id, at, list)
    select ${messageId}::uuid, coalesce((select queue_id from messages where message_id = ${messageId}::uuid), ''),
           ${first.at}::timestamptz, ${jsonText(events)}::text::jsonb`;
}
