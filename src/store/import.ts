/**
 * The store side of `import`: runs, mailboxes, and what of the source is known already. Messages: `import-messages.ts`.
 * A second pass finds everything it needs here, whatever was killed before.
 */
import { MairustError, NotFound } from "../core/errors.ts";
import { type AccountId, mailboxId } from "../core/ids.ts";
import type {
  ImportRecord,
  ImportState,
  ImportStore,
  OpenedMailbox,
  SourceFolder,
  SourceUids,
} from "../core/ports/transfer.ts";
import { addSeen } from "./add-seen.ts";
import { type ConfirmBlob, withRevival } from "./blob-revive.ts";
import type { MailboxChanges } from "./changes.ts";
import { type Db, jsonText, pgText, type Queryable, sql, type Tx } from "./db.ts";
import { compareMessages } from "./import-compare.ts";
import { addMessages, findMailbox, type ImportMailbox, isPristine, lockMailbox } from "./import-messages.ts";
import { findCandidates } from "./import-recognize.ts";
import { createMailboxes, normalizeMailboxName } from "./mailbox-names.ts";

export interface ImportStoreOptions {
  readonly db: Db;
  readonly changes: MailboxChanges;
  /** As of `store/deliver.ts`. */
  readonly confirmBlob: ConfirmBlob;
  /** As of `store/deliver.ts`: one batch's transaction. */
  readonly onCommit: (seconds: number, messages: number, bytes: number) => void;
}

export function createImportStore({ db, changes, confirmBlob, onCommit }: ImportStoreOptions): ImportStore {
  return {
    start: (account, from, dryRun) => start(db, account, from, dryRun),
    list: (account, page) => list(db, account, page),
    get: id => get(db, id),
    finish: (id, state, report) => finish(db, id, state, report),
    async openMailbox(account, name, options) {
      const wanted = normalizeMailboxName(name);
      const opened = options.dryRun
        ? await findMailbox(db, account, wanted)
        : await db.begin(tx => openMailbox(tx, account, wanted, options.subscribe));
      const modseq = opened === undefined ? undefined : await modseqOf(db, opened.id, options.folder);
      return { ...describe(wanted, opened, options.source), sourceModseq: modseq };
    },
    async compare(account, mailbox, importId, messages, dryRun) {
      const { results, changed } = await compareMessages(db, account, mailbox, importId, messages, dryRun);
      if (changed !== undefined) changes.publish([changed]);
      return results;
    },
    async addSeen(account, mailbox, uidValidity, uids) {
      const { id, changed } = await db.begin(tx => addSeen(tx, account, mailbox, uidValidity, uids));
      if (changed > 0) changes.publish([mailboxId(id)]);
      return changed;
    },
    candidates: (account, mailbox, messages) => findCandidates(db, account, mailbox, messages),
    async add(account, mailbox, importId, keep, messages) {
      const started = performance.now();
      const digests = messages.map(message => message.digest);
      const attempt = () => db.begin(tx => addMessages(tx, { account, mailbox, importId, keep }, messages));
      const added = await withRevival(db, confirmBlob, digests, attempt, false);
      onCommit((performance.now() - started) / 1000, added.stored, added.storedBytes);
      if (added.stored > 0 || added.flagged) changes.publish([added.mailboxId]);
      return added.outcomes;
    },
    async closeMailbox(account, name, importId, source, seen) {
      const closed = await db.begin(async tx => {
        const done = await closeMailbox(tx, account, name, importId, source);
        if (seen !== undefined) await keepModseq(tx, done.id, seen);
        return done;
      });
      if (closed.moved) changes.publish([closed.id]);
      return closed;
    },
  };
}

interface ImportRow {
  readonly id: number;
  readonly account: string;
  readonly kind: ImportRecord["kind"];
  readonly source: string;
  readonly state: ImportState;
  readonly started_at: Date;
  readonly finished_at: Date | null;
  readonly copied: number;
  readonly copied_bytes: number;
  readonly report: unknown;
}

const recordOf = (row: ImportRow): ImportRecord => ({
  id: row.id,
  account: row.account,
  kind: row.kind,
  source: row.source,
  state: row.state,
  startedAt: row.started_at,
  finishedAt: row.finished_at ?? undefined,
  copied: row.copied,
  copiedBytes: row.copied_bytes,
  report: row.report,
});

/** Newest first. */
async function select(q: Queryable, rest: ReturnType<typeof sql>): Promise<readonly ImportRecord[]> {
  const rows = await q.query<ImportRow>`
    select i.id, a.local_part || '@' || a.domain as account, i.kind, i.source, i.state, i.started_at, i.finished_at, i.copied,
           i.copied_bytes, i.report
    from imports i join accounts a on a.id = i.account_id ${rest}`;
  return rows.map(recordOf);
}

async function get(q: Queryable, id: number): Promise<ImportRecord> {
  const [found] = await select(q, sql`where i.id = ${id}::bigint`);
  if (found === undefined) throw new NotFound("import", String(id));
  return found;
}

function list(
  db: Db,
  account: AccountId | undefined,
  page: { readonly limit: number; readonly after?: string },
): Promise<readonly ImportRecord[]> {
  const after = Number(page.after ?? Number.MAX_SAFE_INTEGER);
  const mine = account === undefined ? sql`true` : sql`i.account_id = ${account}`;
  return select(db, sql`where ${mine} and i.id < ${after}::bigint order by i.id desc limit ${page.limit}`);
}

async function start(
  db: Db,
  account: AccountId,
  { kind, source }: Pick<ImportRecord, "kind" | "source">,
  dryRun: boolean,
): Promise<ImportRecord> {
  const shown = pgText(source);
  if (dryRun) {
    const [row] = await db.query<{ account: string }>`
      select local_part || '@' || domain as account from accounts where id = ${account}`;
    if (row === undefined) throw new NotFound("account", String(account));
    const common = {
      id: 0,
      kind,
      source: shown,
      state: "running",
      copied: 0,
      copiedBytes: 0,
    } as const;
    return { ...common, account: row.account, startedAt: new Date(), finishedAt: undefined, report: null };
  }
  return db.begin(async tx => {
    await tx.query`
      update imports set state = 'interrupted', finished_at = now() where account_id = ${account} and state = 'running'`;
    const [row] = await tx.query<{ id: number }>`
      insert into imports (account_id, kind, source) values (${account}, ${kind}, ${shown}) returning id`;
    return get(tx, row?.id ?? 0);
  });
}

async function finish(db: Db, id: number, state: ImportState, report: unknown): Promise<ImportRecord> {
  await db.query`
    update imports set state = ${state}, finished_at = now(), report = ${jsonText(report)}::text::jsonb where id = ${id}::bigint`;
  return get(db, id);
}

async function openMailbox(
  tx: Tx,
  account: AccountId,
  name: string,
  subscribe: boolean,
): Promise<ImportMailbox> {
  const there = await findMailbox(tx, account, name);
  if (there === undefined) await createMailboxes(tx, [{ accountId: account, name }]);
  if (there === undefined && !subscribe) {
    await tx.query`delete from subscriptions where account_id = ${account} and name = ${name}`;
  } else if (subscribe) {
    await tx.query`insert into subscriptions (account_id, name) values (${account}, ${name}) on conflict do nothing`;
  }
  const mailbox = there ?? (await findMailbox(tx, account, name));
  if (mailbox !== undefined) return mailbox;
  const text = `mailbox "${name}" was not made: the account has too many`;
  throw new MairustError("too_many", `Cannot import: ${text}`, { publicText: text, retry: "never" });
}

/** Whether the UIDs of the source can be, or are, the UIDs here. */
function describe(
  name: string,
  mailbox: ImportMailbox | undefined,
  source: SourceUids | undefined,
): Omit<OpenedMailbox, "sourceModseq"> {
  const common = {
    id: mailbox === undefined ? undefined : mailboxId(mailbox.id),
    name,
    uidNext: mailbox?.uidNext ?? 1,
    known: mailbox?.known ?? 0,
  };
  const own = (uidsReason: string) => ({ ...common, uids: "own" as const, uidsReason });
  if (source === undefined) return own("");
  if (mailbox === undefined || isPristine(mailbox)) return { ...common, uids: "kept", uidsReason: "" };
  if (mailbox.kept === undefined) return own("the mailbox held mail before");
  const changed = mailbox.kept !== source.uidValidity;
  return {
    ...common,
    uids: "kept",
    uidsReason: changed
      ? `UIDVALIDITY was ${mailbox.kept} at the first import, now it is ${source.uidValidity}`
      : "",
  };
}

async function modseqOf(
  db: Db,
  mailbox: number,
  folder: SourceFolder | undefined,
): Promise<bigint | undefined> {
  if (folder === undefined) return undefined;
  const [row] = await db.query<{ modseq: string }>`
    select modseq::text as modseq from import_sources
    where mailbox_id = ${mailbox} and source = ${pgText(folder.source)} and uidvalidity = ${folder.uidValidity}::bigint`;
  return row === undefined ? undefined : BigInt(row.modseq);
}

async function keepModseq(
  tx: Tx,
  mailbox: number,
  { source, uidValidity, modseq }: SourceFolder & { readonly modseq: bigint },
): Promise<void> {
  await tx.query`
    insert into import_sources (mailbox_id, source, uidvalidity, modseq)
    values (${mailbox}, ${pgText(source)}, ${uidValidity}::bigint, ${String(modseq)}::text::bigint)
    on conflict (mailbox_id, source) do update set uidvalidity = excluded.uidvalidity, modseq = excluded.modseq`;
}

async function closeMailbox(
  tx: Tx,
  account: AccountId,
  name: string,
  importId: number,
  source: SourceUids | undefined,
) {
  const mailbox = await lockMailbox(tx, account, name);
  const mayKeep = mailbox.kept === source?.uidValidity || isPristine(mailbox);
  let { uidNext, kept } = mailbox;
  if (source !== undefined && mayKeep && (source.uidNext > uidNext || kept === undefined)) {
    uidNext = Math.max(uidNext, source.uidNext);
    kept = source.uidValidity;
    await tx.query`
      update mailboxes set uidvalidity = ${kept}, uidnext = ${uidNext}, highest_modseq = highest_modseq + 1
      where id = ${mailbox.id}`;
    await tx.query`
      insert into import_kept_uids (mailbox_id, uidvalidity) values (${mailbox.id}, ${kept}) on conflict do nothing`;
  }
  const [gone] = await tx.query<{ n: number }>`
    select count(*) as n from import_messages where mailbox_id = ${mailbox.id} and seen_in <> ${importId}::bigint`;
  return {
    id: mailboxId(mailbox.id),
    uidNext,
    goneAtSource: gone?.n ?? 0,
    uids: kept === undefined ? ("own" as const) : ("kept" as const),
    moved: uidNext !== mailbox.uidNext || kept !== mailbox.kept,
  };
}
