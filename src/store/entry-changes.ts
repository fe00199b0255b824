/** What a change makes of one entry: flags, keywords, metadata. Pure; the same change again makes no difference. */
import { isDeepStrictEqual } from "node:util";
import { MAX_ENTRY_KEYWORDS } from "../core/flag-change.ts";
import { systemFlagNames } from "../core/flag-names.ts";
import type { MessageChanges } from "../core/ports/hooks.ts";
import { jsonText } from "./db.ts";

/** Octets of an entry's metadata as JSON: past it none is added. */
export const MAX_ENTRY_METADATA_BYTES = 512 * 1024;

export interface EntryState {
  readonly flags: number;
  readonly keywords: readonly string[];
  readonly metadata: Readonly<Record<string, unknown>>;
}

export interface EntryChange {
  readonly state: EntryState;
  /** For the timeline; empty when nothing changes. */
  readonly what: Readonly<Record<string, unknown>>;
  /** For the timeline: what could not be applied, and why. */
  readonly notApplicable: readonly string[];
}

/** Only undoing clears flags. Removals of tags come last. */
export function changeEntry(before: EntryState, changes: MessageChanges): EntryChange {
  const notApplicable: string[] = [];
  const flags = (before.flags | changes.systemFlags) & ~(changes.undo?.flagsClear ?? 0);
  const keywords = keywordsOf(before, changes, notApplicable);
  const metadata = metadataOf(before, changes, notApplicable);
  return {
    state: { flags, keywords, metadata },
    what: {
      ...listed("tags_added", without(keywords, before.keywords)),
      ...listed("tags_removed", without(before.keywords, keywords)),
      ...listed("flags_set", systemFlagNames(flags & ~before.flags)),
      ...listed("flags_cleared", systemFlagNames(before.flags & ~flags)),
      ...listed(
        "metadata",
        [...new Set([...Object.keys(before.metadata), ...Object.keys(metadata)])].filter(
          key => !isDeepStrictEqual(metadata[key], before.metadata[key]),
        ),
      ),
    },
    notApplicable,
  };
}

function keywordsOf(before: EntryState, changes: MessageChanges, problems: string[]): readonly string[] {
  const removed = new Set(changes.tagsRemove);
  const wanted = [...changes.tagsAdd, ...changes.keywords].filter(word => !removed.has(word));
  const kept = before.keywords.filter(word => !removed.has(word));
  const all = [...new Set([...kept, ...wanted])];
  if (all.length > MAX_ENTRY_KEYWORDS && all.length > kept.length) {
    problems.push(`tags: the copy would have more than ${MAX_ENTRY_KEYWORDS}`);
    return kept;
  }
  return all.sort();
}

function metadataOf(before: EntryState, changes: MessageChanges, problems: string[]): EntryState["metadata"] {
  // As the database will give it back.
  const added = JSON.parse(jsonText(changes.metadata)) as Record<string, unknown>;
  if (changes.undo !== undefined) return restored(before.metadata, changes.undo.metadata);
  if (Object.keys(added).length === 0) return before.metadata;
  const merged = { ...before.metadata, ...added };
  if (Buffer.byteLength(JSON.stringify(merged)) > MAX_ENTRY_METADATA_BYTES) {
    problems.push(`metadata: the copy would have more than ${MAX_ENTRY_METADATA_BYTES} octets`);
    return before.metadata;
  }
  return merged;
}

function restored(
  metadata: EntryState["metadata"],
  earlier: Readonly<Record<string, unknown>>,
): EntryState["metadata"] {
  const merged = Object.entries({ ...metadata, ...earlier });
  // Only where there was nothing: a null that stands there is a plugin's value.
  return Object.fromEntries(merged.filter(([key]) => earlier[key] !== null || !Object.hasOwn(earlier, key)));
}

const without = (words: readonly string[], others: readonly string[]): readonly string[] =>
  words.filter(word => !others.includes(word));

const listed = (name: string, words: readonly string[]) => (words.length === 0 ? {} : { [name]: words });
