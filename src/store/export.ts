/**
 * The store side of `export imap`: runs, and which message of ours is which at the target. What a killed run did not get to write
 * down is found again at the target by its bytes; here is only what makes that rare and quick.
 */
import { MairustError, NotFound } from "../core/errors.ts";
import type { AccountId } from "../core/ids.ts";
import type { ExportedMessage, ExportRecord, ExportState, ExportStore } from "../core/ports/transfer.ts";
import { type Db, jsonText, pgText, type Queryable, type Tx } from "./db.ts";
import { normalizeMailboxName } from "./mailbox-names.ts";

/** After this long, no server is still busy with what a killed export had sent. */
const SETTLED_S = 600;

export function createExportStore(db: Db): ExportStore {
  return {
    start: (account, target) => db.begin(tx => start(tx, account, pgText(target))),
    get: id => get(db, id),
    openMailbox: (account, id, name, folder) => db.begin(tx => openMailbox(tx, account, id, name, folder)),
    known: (account, id, name, page) => known(db, account, id, name, page),
    record: (account, id, name, progress) => db.begin(tx => record(tx, account, id, name, progress)),
    finish: (id, state, report) => finish(db, id, state, report),
  };
}

async function start(tx: Tx, account: AccountId, target: string): Promise<ExportRecord> {
  await tx.query`select 1 as one from accounts where id = ${account} for no key update`;
  await tx.query`
    update exports set state = 'interrupted', finished_at = now() where account_id = ${account} and state = 'running'`;
  const [last] = await tx.query<{ appending_to: string | null; appending_at: Date | null }>`
    select appending_to, appending_at from exports where account_id = ${account} and target = ${target}
      and appending_at > now() - ${SETTLED_S} * interval '1 second'
    order by id desc limit 1`;
  const [row] = await tx.query<{ id: number }>`
    insert into exports (account_id, target, appending_to, appending_at)
    values (${account}, ${target}, ${last?.appending_to ?? null}, ${last?.appending_at ?? null}) returning id`;
  return get(tx, row?.id ?? 0);
}

async function get(q: Queryable, id: number): Promise<ExportRecord> {
  const [row] = await q.query<{
    id: number;
    account: string;
    target: string;
    state: ExportState;
    started_at: Date;
    finished_at: Date | null;
    appending_to: string | null;
    copied: number;
    copied_bytes: number;
    report: unknown;
  }>`
    select x.id, a.local_part || '@' || a.domain as account, x.target, x.state, x.started_at, x.finished_at, x.appending_to,
           x.copied, x.copied_bytes, x.report
    from exports x join accounts a on a.id = x.account_id where x.id = ${id}::bigint`;
  if (row === undefined) throw new NotFound("export", String(id));
  return {
    id: row.id,
    account: row.account,
    target: row.target,
    state: row.state,
    startedAt: row.started_at,
    finishedAt: row.finished_at ?? undefined,
    appendingTo: row.appending_to ?? undefined,
    copied: row.copied,
    copiedBytes: row.copied_bytes,
    report: row.report,
  };
}

/** Only the youngest export of an account goes on. @throws {MairustError} `invalid_state`, `not_found` */
async function running(q: Queryable, account: AccountId, id: number): Promise<{ readonly target: string }> {
  const [row] = await q.query<{ target: string; state: ExportState }>`
    select target, state from exports where id = ${id}::bigint and account_id = ${account}`;
  if (row === undefined) throw new NotFound("export", String(id));
  if (row.state === "running") return row;
  const text = `another export of this account began meanwhile: this one (${id}) ends here`;
  throw new MairustError("invalid_state", `Cannot go on: ${text}`, { publicText: text });
}

async function findMailbox(q: Queryable, account: AccountId, name: string): Promise<number> {
  const wanted = normalizeMailboxName(name);
  const [row] = await q.query<{ id: number }>`
    select id from mailboxes where account_id = ${account} and name = ${wanted}`;
  if (row === undefined) throw new NotFound("mailbox", wanted);
  return row.id;
}

async function openMailbox(
  tx: Tx,
  account: AccountId,
  id: number,
  name: string,
  { folder, uidValidity }: { readonly folder: string; readonly uidValidity: number },
): Promise<void> {
  const { target } = await running(tx, account, id);
  const mailbox = await findMailbox(tx, account, name);
  const shown = pgText(folder);
  await tx.query`
    delete from export_mailboxes where mailbox_id = ${mailbox} and target = ${target}
      and (folder <> ${shown} or uidvalidity <> ${uidValidity}::bigint)`;
  await tx.query`
    insert into export_mailboxes (mailbox_id, target, folder, uidvalidity)
    values (${mailbox}, ${target}, ${shown}, ${uidValidity}::bigint) on conflict (mailbox_id, target) do nothing`;
}

/** In UID order; those that were only imported say which flags they came with. */
async function known(
  q: Queryable,
  account: AccountId,
  id: number,
  name: string,
  page: { readonly after: number; readonly limit: number },
): Promise<readonly ExportedMessage[]> {
  const { target } = await running(q, account, id);
  const mailbox = await findMailbox(q, account, name);
  const rows = await q.query<{ uid: number; there_uid: number | null; flags: number; keywords: string[] }>`
    select distinct on (uid) uid, there_uid, flags, keywords from (
      select m.uid, m.there_uid, m.flags, m.keywords
      from export_messages m join export_mailboxes x on x.id = m.export_mailbox_id
      where x.mailbox_id = ${mailbox} and x.target = ${target} and m.uid > ${page.after}::bigint
      union all
      select i.uid, null, i.flags, i.keywords from import_messages i
      where i.mailbox_id = ${mailbox} and i.uid > ${page.after}::bigint
    ) rows order by uid, there_uid nulls last limit ${page.limit}`;
  return rows.map(({ uid, there_uid: thereUid, flags, keywords }) => ({
    uid,
    thereUid: thereUid ?? undefined,
    flags: { system: flags, keywords },
  }));
}

async function record(
  tx: Tx,
  account: AccountId,
  id: number,
  name: string,
  progress: Parameters<ExportStore["record"]>[3],
): Promise<void> {
  const { messages, forget, appendingTo, copied, copiedBytes } = progress;
  const { target } = await running(tx, account, id);
  const mailbox = await findMailbox(tx, account, name);
  const [opened] = await tx.query<{ id: number }>`
    select id from export_mailboxes where mailbox_id = ${mailbox} and target = ${target} for no key update`;
  if (opened === undefined) throw new NotFound("mailbox", `"${name}" of export ${id}`);
  const rows = messages.map(({ uid, thereUid, flags }) => ({
    u: uid,
    t: thereUid,
    f: flags.system,
    w: flags.keywords,
  }));
  const uids = [...messages.map(message => message.uid), ...forget];
  const there = messages.map(message => message.thereUid);
  if (uids.length > 0)
    await tx.query`
      delete from export_messages where export_mailbox_id = ${opened.id}
        and (uid = any(${uids}::bigint[]) or there_uid = any(${there}::bigint[]))`;
  if (rows.length > 0)
    await tx.query`
      insert into export_messages (export_mailbox_id, uid, there_uid, flags, keywords)
      select ${opened.id}, u, t, f, coalesce((select array_agg(x) from json_array_elements_text(w) x), '{}')
      from json_to_recordset(${jsonText(rows)}::text::json) as r(u bigint, t bigint, f smallint, w json)`;
  const folder = appendingTo === undefined ? null : pgText(appendingTo);
  await tx.query`
    update exports set copied = copied + ${copied}, copied_bytes = copied_bytes + ${copiedBytes}::bigint,
      appending_to = ${folder}, appending_at = case when ${folder}::text is null then null else now() end
    where id = ${id}::bigint`;
}

async function finish(db: Db, id: number, state: ExportState, report: unknown): Promise<ExportRecord> {
  await db.query`
    update exports set state = ${state}, finished_at = now(), report = ${jsonText(report)}::text::jsonb,
      appending_to = null, appending_at = null
    where id = ${id}::bigint and state = 'running'`;
  return get(db, id);
}
