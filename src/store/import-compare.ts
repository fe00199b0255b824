/** What of a source's mailbox is known already, and flags that changed there since the last pass. */
import { type AccountId, type MailboxId, mailboxId } from "../core/ids.ts";
import type { FlagSet } from "../core/ports/store.ts";
import type { ComparedMessage, SourceMessage } from "../core/ports/transfer.ts";
import { type Db, jsonText, type Queryable, type Tx } from "./db.ts";
import { mergeIntoEntries } from "./import-flags.ts";
import { findMailbox, lockMailbox } from "./import-messages.ts";
import { normalizeMailboxName } from "./mailbox-names.ts";

export interface Compared {
  readonly results: readonly ComparedMessage[];
  /** The mailbox, when flags of it were changed. */
  readonly changed: MailboxId | undefined;
}

export async function compareMessages(
  db: Db,
  account: AccountId,
  mailbox: string,
  importId: number,
  messages: readonly SourceMessage[],
  dryRun: boolean,
): Promise<Compared> {
  if (dryRun) {
    const found = await findMailbox(db, account, normalizeMailboxName(mailbox));
    const known = found === undefined ? new Map<string, Known>() : await readKnown(db, found.id, messages);
    return { results: messages.map(message => resultOf(message, known)), changed: undefined };
  }
  return db.begin(async tx => {
    const { id, modseq } = await lockMailbox(tx, account, mailbox);
    const known = await readKnown(tx, id, messages);
    const results = messages.map(message => resultOf(message, known));
    await tx.query`
      update import_messages set seen_in = ${importId}::bigint
      where mailbox_id = ${id} and source_key = any(${[...known.keys()]}::text[]) and seen_in <> ${importId}::bigint`;
    const different = messages.flatMap(({ key, flags }, i) =>
      flags !== undefined && results[i]?.kind === "flags_changed" ? [{ key, flags }] : [],
    );
    const updated = different.length > 0 && (await updateFlags(tx, id, modseq, different, known));
    return { results, changed: updated ? mailboxId(id) : undefined };
  });
}

interface Known {
  readonly uid: number;
  readonly sourceUid: number | undefined;
  /** At the source, at the last pass. */
  readonly flags: FlagSet;
}

async function readKnown(
  q: Queryable,
  mailbox: number,
  messages: readonly SourceMessage[],
): Promise<Map<string, Known>> {
  const keys = messages.map(message => message.key);
  const rows = await q.query<{
    source_key: string;
    source_uid: number | null;
    uid: number;
    flags: number;
    keywords: string[];
  }>`
    select source_key, source_uid, uid, flags, keywords from import_messages
    where mailbox_id = ${mailbox} and source_key = any(${keys}::text[])`;
  return new Map(
    rows.map(row => [
      row.source_key,
      {
        uid: row.uid,
        sourceUid: row.source_uid ?? undefined,
        flags: { system: row.flags, keywords: row.keywords },
      },
    ]),
  );
}

function resultOf(message: SourceMessage, known: ReadonlyMap<string, Known>): ComparedMessage {
  const found = known.get(message.key);
  if (found === undefined) return { kind: "new", sourceUid: undefined };
  if (message.flags === undefined) return { kind: "same", sourceUid: found.sourceUid };
  const same =
    found.flags.system === message.flags.system &&
    [...found.flags.keywords].sort().join(" ") === [...message.flags.keywords].sort().join(" ");
  return { kind: same ? "same" : "flags_changed", sourceUid: found.sourceUid };
}

/** @returns whether an entry was changed: it may be gone, or have the flags already */
async function updateFlags(
  tx: Tx,
  mailbox: number,
  modseq: number,
  messages: readonly { readonly key: string; readonly flags: FlagSet }[],
  known: ReadonlyMap<string, Known>,
): Promise<boolean> {
  const changes = messages.flatMap(({ key, flags }) => {
    const before = known.get(key);
    return before === undefined ? [] : [{ uid: before.uid, before: before.flags, now: flags }];
  });
  const changed = await mergeIntoEntries(tx, mailbox, modseq, changes);
  const states = messages.map(({ key, flags }) => ({ k: key, f: flags.system, w: flags.keywords }));
  await tx.query`
    update import_messages i set flags = r.f,
      keywords = coalesce((select array_agg(x) from json_array_elements_text(r.w) x), '{}')
    from json_to_recordset(${jsonText(states)}::text::json) as r(k text, f smallint, w json)
    where i.mailbox_id = ${mailbox} and i.source_key = r.k`;
  return changed;
}
