/**
 * What the wishes of plugins made of one copy: the entries of the journal, and what undoes one of them. Pure.
 *
 * Undoing takes away what this wish alone brought: a tag that another plugin wanted too stays, a copy that was moved again stays where
 * it is, and a value that was written again stays. What stays is from then on the other's doing ({@link inherited}): who undoes that one
 * too, in whatever order, has the copy as it was.
 */

import type { HookWish } from "./ports/hook-wish.ts";
import type { MessageChanges } from "./ports/hooks.ts";
import { isSame } from "./same-decision.ts";

export interface CopyState {
  /** OR of FLAG_ bits. */
  readonly flags: number;
  /** Tags among them. */
  readonly keywords: readonly string[];
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly mailbox: string;
}

/** What one wish made of one copy. */
export interface CopyChange {
  /** Tags and keywords that it wanted, and that are there. */
  readonly words: readonly string[];
  /** Those of them that were not there before. */
  readonly added: readonly string[];
  readonly removed: readonly string[];
  /** System flags that it wanted. */
  readonly wanted_flags: number;
  /** Those of them that were not set before. */
  readonly flags: number;
  readonly folder?: { readonly from: string; readonly to: string };
  /** What stood there before; null: nothing. */
  readonly metadata: Readonly<Record<string, unknown>>;
}

/** @returns one for each wish that came to something, with the wish */
export function copyChanges(
  wishes: readonly HookWish[],
  before: CopyState,
  after: CopyState,
): readonly { readonly wish: HookWish; readonly change: CopyChange }[] {
  // Of several the last one won.
  const mover =
    before.mailbox === after.mailbox ? undefined : wishes.findLast(wish => wish.folder !== undefined);
  return wishes.flatMap(wish => {
    const change = changeOf(wish, before, after, wish === mover);
    return isNothing(change) ? [] : [{ wish, change }];
  });
}

function changeOf(wish: HookWish, before: CopyState, after: CopyState, moved: boolean): CopyChange {
  const wanted = [...new Set([...wish.tagsAdd, ...wish.keywords])];
  const words = wanted.filter(word => after.keywords.includes(word));
  const written = wish.metadata.filter(
    key => Object.hasOwn(after.metadata, key) && !isSame(after.metadata[key], before.metadata[key]),
  );
  return {
    words,
    added: words.filter(word => !before.keywords.includes(word)),
    removed: wish.tagsRemove.filter(tag => before.keywords.includes(tag) && !after.keywords.includes(tag)),
    wanted_flags: wish.systemFlags & after.flags,
    flags: wish.systemFlags & after.flags & ~before.flags,
    ...(moved ? { folder: { from: before.mailbox, to: after.mailbox } } : {}),
    metadata: Object.fromEntries(written.map(key => [key, before.metadata[key] ?? null])),
  };
}

function isNothing(change: CopyChange): boolean {
  const lists = change.words.length + change.removed.length + Object.keys(change.metadata).length;
  return lists === 0 && change.wanted_flags === 0 && change.folder === undefined;
}

/** An entry of the journal about the same copy that is not undone. */
export interface OtherChange {
  readonly isLater: boolean;
  readonly change: CopyChange;
}

/** @returns what takes `change` back, while the others stay */
export function undoing(change: CopyChange, others: readonly OtherChange[]): MessageChanges {
  const later = others.filter(({ isLater }) => isLater).map(other => other.change);
  const all = others.map(other => other.change);
  const keptWords = new Set(all.flatMap(({ words }) => words));
  const keptAway = new Set(all.flatMap(({ removed }) => removed));
  const keptFlags = all.reduce((bits, other) => bits | other.wanted_flags, 0);
  const metadata = Object.entries(change.metadata).filter(
    ([key]) => !later.some(other => Object.hasOwn(other.metadata, key)),
  );
  const isMovedAgain = later.some(({ folder }) => folder !== undefined);
  return {
    tagsAdd: change.removed.filter(tag => !keptAway.has(tag)),
    tagsRemove: change.added.filter(word => !keptWords.has(word)),
    systemFlags: 0,
    keywords: [],
    folder: isMovedAgain ? undefined : change.folder?.from,
    metadata: {},
    undo: {
      flagsClear: change.flags & ~keptFlags,
      metadata: Object.fromEntries(metadata),
      onlyIn: change.folder?.to,
    },
  };
}

/**
 * What `change` brought and others keep, as it is undone.
 * @param others  newest first
 * @returns       those of them that are another change from now on, with that
 */
export function inherited<T extends OtherChange>(
  change: CopyChange,
  others: readonly T[],
): ReadonlyMap<T, CopyChange> {
  const heirs = new Map<T, CopyChange>();
  const give = (heir: T | undefined, more: (now: CopyChange) => Partial<CopyChange>) => {
    if (heir === undefined) return;
    const now = heirs.get(heir) ?? heir.change;
    heirs.set(heir, { ...now, ...more(now) });
  };
  for (const word of change.added) {
    const keepers = others.filter(other => other.change.words.includes(word));
    // Somebody's doing already.
    if (keepers.some(other => other.change.added.includes(word))) continue;
    give(keepers.at(-1), ({ added }) => ({ added: [...added, word] }));
  }
  for (let bit = 1; bit <= change.flags; bit <<= 1) {
    const keepers = others.filter(other => (change.flags & bit & other.change.wanted_flags) !== 0);
    if (keepers.some(other => (other.change.flags & bit) !== 0)) continue;
    give(keepers.at(-1), ({ flags }) => ({ flags: flags | bit }));
  }
  const next = (is: (later: CopyChange) => boolean) =>
    others.findLast(other => other.isLater && is(other.change));
  for (const [key, value] of Object.entries(change.metadata)) {
    const heir = next(later => Object.hasOwn(later.metadata, key));
    give(heir, ({ metadata }) => ({ metadata: { ...metadata, [key]: value } }));
  }
  const { folder } = change;
  const moved = next(later => later.folder !== undefined);
  // Where somebody else moved it between, that is where it belongs.
  if (folder !== undefined && moved?.change.folder?.from === folder.to)
    give(moved, now => ({ folder: { from: folder.from, to: now.folder?.to ?? folder.to } }));
  return heirs;
}
