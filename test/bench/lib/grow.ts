/**
 * A mailbox of a million in a minute: messages that are there are repeated by PostgreSQL itself. Each copy is a message of its own, with
 * an id of its own, older than the one it repeats, its entry and its event; they share the blobs, and no texts are made for them.
 */
import type { Db } from "../../../src/store/db.ts";

/** Copies per transaction: as many rows as fit into the memory of a small server. */
const CHUNK = 20_000;
/** Of the first copy's id: before anything was delivered. */
const FIRST_ID_MS = Date.UTC(2024, 0, 1);

/**
 * Repeat what is in the account's INBOX until it holds `messages`. The jobs that make texts are gone for good: after a start they would be busy with it for an hour.
 * @param address  of the account; some messages are in its INBOX
 */
export async function growMailbox(db: Db, address: string, messages: number): Promise<void> {
  await db.run`delete from jobs where repeat_ms is not null`;
  const [mailbox] = await db.query<{ id: number; messages: number }>`
    select m.id, m.messages from mailboxes m join accounts a on a.id = m.account_id
    where a.address = ${address} and m.name = 'INBOX'`;
  if (mailbox === undefined) throw new Error(`Cannot grow the mailbox of "${address}": it is not there`);
  const { id, messages: there } = mailbox;
  for (let made = there; made < messages; made += CHUNK)
    await repeat(db, id, there, made, Math.min(CHUNK, messages - made));
  // What a mailbox that grew over months has: autovacuum would do it while we measure.
  await db.query`vacuum analyze`;
  await db.query`checkpoint`;
}

/** Copies number `from` to `from + count` of the first `there` entries, by turns. */
async function repeat(db: Db, mailbox: number, there: number, from: number, count: number): Promise<void> {
  await db.begin(async tx => {
    await tx.run`
      create temporary table copies on commit drop as
      select n, e.uid, e.message_id as of,
        (lpad(to_hex(${FIRST_ID_MS} + n), 12, '0') || '70008' || substr(md5(n::text), 1, 15))::uuid as id
      from generate_series(${from}::bigint, ${from + count - 1}::bigint) n
      join (select *, row_number() over (order by uid) - 1 as turn from entries where mailbox_id = ${mailbox} and uid <= ${there}) e
        on e.turn = n % ${there}`;
    await tx.run`
      insert into messages (message_id, blob_digest, size_bytes, header_bytes, structure, header, message_id_header, subject, from_text,
        thread_key, attachments, queue_id, mail_from, received_at)
      select c.id, m.blob_digest, m.size_bytes, m.header_bytes, m.structure, m.header, m.message_id_header, m.subject, m.from_text,
        m.thread_key, m.attachments, m.queue_id, m.mail_from, m.received_at
      from copies c join messages m on m.message_id = c.of order by c.n`;
    await tx.run`
      insert into entries (mailbox_id, uid, modseq, message_id, flags, keywords, internal_date, prefix, size_bytes)
      select b.id, b.uidnext + c.n - ${from}, b.highest_modseq + 1 + c.n - ${from}, c.id, e.flags, e.keywords, e.internal_date,
        e.prefix, e.size_bytes
      from copies c join entries e on e.mailbox_id = ${mailbox} and e.uid = c.uid join mailboxes b on b.id = e.mailbox_id
      order by c.n`;
    await tx.run`
      insert into events (message_id, at, list)
      select c.id, now(), '[{"at": "2026-01-05T01:11:00Z", "kind": "stored", "data": {}}]' from copies c order by c.n`;
  });
}
