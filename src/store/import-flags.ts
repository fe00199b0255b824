/**
 * Flags of a source on the entries here: what was set or taken away at the source is set or taken away here, with a MODSEQ; what
 * changed here meanwhile stays.
 */
import type { FlagSet } from "../core/ports/store.ts";
import { jsonText, type Tx } from "./db.ts";

export interface FlagChange {
  /** Of the entry. */
  readonly uid: number;
  /** At the source, at the last pass, and now. */
  readonly before: FlagSet;
  readonly now: FlagSet;
}

/** Our flags, with what changed from `before` to `now` at the source. */
export function mergeFlags(ours: FlagSet, before: FlagSet, now: FlagSet): FlagSet {
  const system = (ours.system | (now.system & ~before.system)) & ~(before.system & ~now.system);
  const removed = new Set(before.keywords.filter(word => !now.keywords.includes(word)));
  const added = now.keywords.filter(word => !before.keywords.includes(word));
  const keywords = [...new Set([...ours.keywords.filter(word => !removed.has(word)), ...added])].sort();
  return { system, keywords };
}

/**
 * Under the lock of the mailbox.
 * @param modseq  HIGHESTMODSEQ of the mailbox
 * @returns whether an entry was changed: it may be gone, or have the flags already
 */
export async function mergeIntoEntries(
  tx: Tx,
  mailbox: number,
  modseq: number,
  all: readonly FlagChange[],
): Promise<boolean> {
  if (all.length === 0) return false;
  const uids = all.map(({ uid }) => uid);
  const rows = await tx.query<{ uid: number; flags: number; keywords: string[] }>`
    select uid, flags, keywords from entries where mailbox_id = ${mailbox} and uid = any(${uids}::bigint[])`;
  const entries = new Map(rows.map(row => [row.uid, { system: row.flags, keywords: row.keywords }]));
  const changes = all.flatMap(({ uid, before, now }) => {
    const ours = entries.get(uid);
    if (ours === undefined) return [];
    const merged = mergeFlags(ours, before, now);
    const same =
      merged.system === ours.system && merged.keywords.join(" ") === [...ours.keywords].sort().join(" ");
    return same ? [] : [{ u: uid, f: merged.system, w: merged.keywords }];
  });
  if (changes.length === 0) return false;
  const numbered = changes.map((change, i) => ({ ...change, q: modseq + 1 + i }));
  await tx.query`
    update entries e set flags = r.f, modseq = r.q,
      keywords = coalesce((select array_agg(x) from json_array_elements_text(r.w) x), '{}')
    from json_to_recordset(${jsonText(numbered)}::text::json) as r(u bigint, f smallint, w json, q bigint)
    where e.mailbox_id = ${mailbox} and e.uid = r.u`;
  return true;
}
