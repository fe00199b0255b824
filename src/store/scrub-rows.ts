/**
 * The part of `scrub` that holds the database against itself. Triggers keep all of this (`migrations/0001_init.sql`); what is found
 * here came from outside: a statement by hand, a broken disk, a restored table. Each statement sees one moment, so mail that comes
 * meanwhile is no finding.
 */
import { messageOf } from "../core/errors.ts";
import { unpackStructure } from "../core/mime/packed.ts";
import type { ScrubFinding } from "../core/ports/scrub.ts";
import type { Checked, ScrubParts } from "./scrub.ts";

const ACCOUNT_PAGE = 500;
/** Structures are the larger part of a message's row. */
const MESSAGE_PAGE = 100;
/** One mailbox at a time and not by the page: a large one may take long. */
const STATEMENT_MS = 600_000;
const MAILBOX_PAGE = 500;

interface MailboxRow {
  readonly name: string;
  readonly messages: number;
  readonly unseen: number;
  readonly size_bytes: number;
  readonly uidnext: number;
  readonly highest_modseq: number;
  readonly real_messages: number;
  readonly real_unseen: number;
  readonly real_bytes: number;
  readonly top_uid: number;
  readonly top_modseq: number;
  readonly reused: number;
}

/** Counters against entries; UIDNEXT and HIGHESTMODSEQ above everything that was given out. */
export async function* checkMailboxes({ db, counts }: ScrubParts): AsyncGenerator<Checked> {
  let after = 0;
  for (;;) {
    const ids = await db.query<{ id: number }>`
      select id from mailboxes where id > ${after} order by id limit ${MAILBOX_PAGE}`;
    for (const { id } of ids) {
      after = id;
      const [row] = await db.begin(
        tx => tx.query<MailboxRow>`
          select a.local_part || '@' || a.domain || '/' || m.name as name, m.messages, m.unseen, m.size_bytes, m.uidnext, m.highest_modseq,
                 e.n as real_messages, e.unseen as real_unseen, e.bytes as real_bytes,
                 greatest(e.uid, x.uid) as top_uid, greatest(e.modseq, x.modseq) as top_modseq,
                 (select count(*) from entries o join expunged g on g.mailbox_id = o.mailbox_id and g.uid = o.uid
                  where o.mailbox_id = m.id) as reused
          from mailboxes m join accounts a on a.id = m.account_id,
               lateral (select count(*) as n, count(*) filter (where flags & 1 = 0) as unseen, coalesce(sum(size_bytes), 0)::bigint as bytes,
                               coalesce(max(uid), 0) as uid, coalesce(max(modseq), 0) as modseq
                        from entries where mailbox_id = m.id) e,
               lateral (select coalesce(max(uid), 0) as uid, coalesce(max(modseq), 0) as modseq from expunged where mailbox_id = m.id) x
          where m.id = ${id}`,
        { statementTimeoutMs: STATEMENT_MS },
      );
      if (row === undefined) continue;
      counts.mailboxes += 1;
      yield* mailboxFindings(row);
      yield { at: undefined };
    }
    if (ids.length < MAILBOX_PAGE) return;
  }
}

function mailboxFindings(row: MailboxRow): ScrubFinding[] {
  const findings: ScrubFinding[] = [];
  const counted = [row.messages, row.unseen, row.size_bytes];
  const real = [row.real_messages, row.real_unseen, row.real_bytes];
  if (counted.some((value, i) => value !== real[i])) {
    const detail = `messages, unseen, octets: counted ${counted.join(", ")}; there are ${real.join(", ")}`;
    findings.push({ kind: "mailbox_counters", subject: row.name, detail });
  }
  const uids = [
    ...(row.uidnext > row.top_uid ? [] : [`UIDNEXT is ${row.uidnext}, UID ${row.top_uid} was given out`]),
    ...(row.highest_modseq >= row.top_modseq
      ? []
      : [`HIGHESTMODSEQ is ${row.highest_modseq}, ${row.top_modseq} was given out`]),
    ...(row.reused === 0 ? [] : [`${row.reused} UIDs are there and expunged`]),
  ];
  return [
    ...findings,
    ...uids.map(detail => ({ kind: "mailbox_uids" as const, subject: row.name, detail })),
  ];
}

/** What accounts are said to use against their mailboxes. */
export async function* checkAccounts({ db, counts }: ScrubParts): AsyncGenerator<Checked> {
  let after = 0;
  for (;;) {
    const rows = await db.query<{
      id: number;
      address: string;
      used_bytes: number;
      used_messages: number;
      bytes: number;
      messages: number;
    }>`
      select a.id, a.local_part || '@' || a.domain as address, a.used_bytes, a.used_messages, m.bytes, m.messages
      from accounts a, lateral (
        select coalesce(sum(size_bytes), 0)::bigint as bytes, coalesce(sum(messages), 0)::bigint as messages
        from mailboxes where account_id = a.id
      ) m
      where a.id > ${after} order by a.id limit ${ACCOUNT_PAGE}`;
    for (const row of rows) {
      after = row.id;
      counts.accounts += 1;
      if (row.used_bytes === row.bytes && row.used_messages === row.messages) continue;
      const detail = `counted ${row.used_messages} messages, ${row.used_bytes} octets; its mailboxes have ${row.messages}, ${row.bytes}`;
      yield { kind: "account_usage", subject: row.address, detail };
    }
    yield { at: undefined };
    if (rows.length < ACCOUNT_PAGE) return;
  }
}

interface MessageRow {
  readonly message_id: string;
  readonly size_bytes: number;
  readonly header_bytes: number;
  readonly structure: Buffer;
  readonly blob_bytes: number;
  readonly wrong_entries: number;
}

/** Sizes of messages against their blobs and entries, and whether the stored structure can be read. */
export async function* checkMessages({ db, counts }: ScrubParts): AsyncGenerator<Checked> {
  let after = "00000000-0000-0000-0000-000000000000";
  for (;;) {
    const rows = await db.query<MessageRow>`
      select m.message_id, m.size_bytes, m.header_bytes, m.structure, b.size_bytes as blob_bytes,
             (select count(*) from entries e where e.message_id = m.message_id
              and e.size_bytes <> octet_length(e.prefix) + m.size_bytes) as wrong_entries
      from messages m join blobs b on b.digest = m.blob_digest
      where m.message_id > ${after}::uuid order by m.message_id limit ${MESSAGE_PAGE}`;
    for (const row of rows) {
      after = row.message_id;
      counts.messages += 1;
      yield* messageFindings(row);
    }
    yield { at: undefined };
    if (rows.length < MESSAGE_PAGE) return;
  }
}

function messageFindings(row: MessageRow): ScrubFinding[] {
  const subject = row.message_id;
  const findings: ScrubFinding[] = [];
  if (row.size_bytes !== row.blob_bytes || row.header_bytes > row.size_bytes) {
    const detail = `${row.size_bytes} octets, ${row.header_bytes} of them header; its blob has ${row.blob_bytes}`;
    findings.push({ kind: "message_size", subject, detail });
  }
  if (row.wrong_entries > 0) {
    const detail = `${row.wrong_entries} entries are not as large as their prefix and the message`;
    findings.push({ kind: "entry_size", subject, detail });
  }
  const problem = structureProblem(row);
  if (problem !== undefined) findings.push({ kind: "message_structure", subject, detail: problem });
  return findings;
}

function structureProblem({ structure, size_bytes }: MessageRow): string | undefined {
  try {
    const { sizeBytes, parts } = unpackStructure(structure);
    if (sizeBytes !== size_bytes) return `it describes ${sizeBytes} octets, the message has ${size_bytes}`;
    const outside = parts.find(part => part.bodyEnd > size_bytes || part.headerStart > part.bodyStart);
    return outside === undefined ? undefined : "a part lies outside of the message";
  } catch (error) {
    return messageOf(error);
  }
}
