/**
 * Step 4 of the message path: the answers of a chain, folded into one decision for one recipient.
 *
 * The strongest decision wins (reject > tempfail > hold > deliver; among equals the first in order supplies the reply);
 * reject and tempfail drop every side action of every plugin. Tags are united and removals applied last; for the folder the
 * last in order wins. Failures come in as outcomes too, so that their policy is the same code for every cause.
 *
 * A hold does not stop the chain, because what follows may refuse the message. But a released message goes on behind the hook
 * that held it: so a decision `hold` carries what the chain had changed up to there, and what hooks behind changed comes again.
 */
import { OWN_TAG_PREFIX } from "../wire/answer.ts";
import type { ProvenanceEntry } from "../wire/hook-payload.ts";
import type { CheckedAnswer } from "./answer.ts";
import { DEFAULT_REJECT, DEFAULT_TEMPFAIL, type Reply } from "./answer-reply.ts";
import type { HookWish } from "./ports/hook-wish.ts";
import type { FinalAction, HookDecision, HookPlace } from "./ports/hooks.ts";

/** What a hook says when its call failed. */
export type FailurePolicy = "allow" | "tempfail" | "reject" | "hold";

/** What one enforced hook contributes. */
export type HookOutcome =
  | {
      readonly kind: "answer";
      readonly place: HookPlace;
      readonly pluginId: string;
      readonly answer: CheckedAnswer;
      /** Where its changes come from. */
      readonly origin: Pick<HookWish, "point" | "pluginVersion" | "callId">;
    }
  | {
      readonly kind: "failure";
      readonly place: HookPlace;
      readonly pluginId: string;
      readonly policy: FailurePolicy;
    };

/** Set on mail that passed although a hook could not judge it. */
export const UNCHECKED_TAG = `${OWN_TAG_PREFIX}unchecked`;
export const SKIPPED_HEADER = "X-MaiRust-Skipped";

/** What a decision changes beside the action. */
type SideActions = Omit<HookDecision, "action" | "by" | "reply">;

interface PlacedEntry {
  readonly place: HookPlace;
  readonly entry: ProvenanceEntry;
}

const NO_SIDE_ACTIONS: SideActions = {
  folder: undefined,
  tags: [],
  flags: { system: 0, keywords: [] },
  metadata: {},
  headers: [],
  appendText: [],
  addBcc: [],
  provenance: [],
};

/** What a chain comes to that has nothing to say. */
export const DELIVER: HookDecision = {
  action: "deliver",
  by: undefined,
  reply: undefined,
  ...NO_SIDE_ACTIONS,
};

/** The order of hooks: `priority` ascending, then `name` by code point. Names are ASCII, so that UTF-16 units do. */
export function comparePlaces(a: HookPlace, b: HookPlace): number {
  if (a.priority !== b.priority) return a.priority - b.priority;
  if (a.name === b.name) return 0;
  return a.name < b.name ? -1 : 1;
}

/** The strongest decision wins. */
export const STRENGTH: Readonly<Record<FinalAction, number>> = {
  deliver: 0,
  hold: 1,
  tempfail: 2,
  reject: 3,
};

/** The decision of one chain as it grows. Outcomes are added in chain order. */
export class Merge {
  #action: FinalAction = "deliver";
  #reply: Reply | undefined;
  #by: HookDecision["by"];
  readonly #tags: Set<string>;
  readonly #removed = new Set<string>();
  #systemFlags = 0;
  readonly #keywords = new Set<string>();
  #folder: { readonly name: string; readonly hook: string } | undefined;
  readonly #metadata = new Map<string, unknown>();
  readonly #headers: Array<readonly [string, string]> = [];
  readonly #appendText: Array<HookDecision["appendText"][number]> = [];
  readonly #addBcc = new Set<string>();
  readonly #earlier: readonly ProvenanceEntry[];
  readonly #provenance: PlacedEntry[] = [];
  readonly #wishes: HookWish[] = [];
  /** What had been changed when the message was held. */
  #held: SideActions | undefined;

  /**
   * @param tags     what the message carries already
   * @param earlier  what hooks of an earlier point did
   */
  constructor(tags: readonly string[], earlier: readonly ProvenanceEntry[] = []) {
    this.#tags = new Set(tags);
    this.#earlier = earlier;
  }

  /** True when nothing that follows can matter: the chain stops. */
  get isFinal(): boolean {
    return this.#action === "reject" || this.#action === "tempfail";
  }

  /** Tags as the next hook sees them. */
  get tags(): readonly string[] {
    return [...this.#tags].filter(tag => !this.#removed.has(tag));
  }

  /** Who changed what, in order. */
  get provenance(): readonly ProvenanceEntry[] {
    return [...this.#earlier, ...this.#provenance.map(({ entry }) => entry)];
  }

  /** What one call for several recipients is shown: all that was done for any of them, in chain order. */
  static shown(merges: readonly Merge[]): {
    readonly tags: readonly string[];
    readonly provenance: readonly ProvenanceEntry[];
  } {
    const [first, ...others] = merges;
    if (first === undefined) return { tags: [], provenance: [] };
    if (others.length === 0) return { tags: first.tags, provenance: first.provenance };
    // A hook is called once for all of them, so its entries are alike.
    const placed = new Map(
      merges.flatMap(merge => merge.#provenance.map(one => [one.place.name, one] as const)),
    );
    const inOrder = [...placed.values()].sort((a, b) => comparePlaces(a.place, b.place));
    return {
      tags: [...new Set(merges.flatMap(merge => merge.tags))],
      provenance: [...first.#earlier, ...inOrder.map(({ entry }) => entry)],
    };
  }

  /**
   * @returns the conflict that the outcome made, if any: its folder replaced another hook's
   */
  add(outcome: HookOutcome): { readonly folder: string; readonly replacedHook: string } | undefined {
    if (outcome.kind === "failure") {
      this.#addFailure(outcome);
      return undefined;
    }
    const { answer } = outcome;
    this.#decide(answer.action, answer.reply, {
      ...outcome.place,
      pluginId: outcome.pluginId,
      reason: answer.reason,
    });
    const changes = this.#addChanges(answer);
    const conflict = this.#setFolder(answer.folder, outcome.place.name);
    if (answer.folder !== undefined) changes.push("folder");
    if (changes.length > 0) {
      const entry = { plugin_id: outcome.pluginId, hook: outcome.place.name, changes };
      this.#provenance.push({ place: outcome.place, entry });
    }
    const wish = wishOf(outcome);
    if (wish !== undefined) this.#wishes.push(wish);
    return conflict;
  }

  /** All hooks that run together have been added; those that follow are behind a hold of theirs. */
  endGroup(): void {
    if (this.#action === "hold") this.#held ??= this.#sideActions();
  }

  finish(): HookDecision {
    const decided = { action: this.#action, by: this.#by, reply: this.#reply };
    if (this.isFinal) return { ...decided, ...NO_SIDE_ACTIONS, provenance: this.provenance };
    return { ...decided, ...((this.#action === "hold" ? this.#held : undefined) ?? this.#sideActions()) };
  }

  #sideActions(): SideActions {
    return {
      folder: this.#folder?.name,
      tags: this.tags,
      flags: { system: this.#systemFlags, keywords: [...this.#keywords].sort() },
      metadata: Object.fromEntries(this.#metadata),
      headers: [...this.#headers],
      appendText: [...this.#appendText],
      addBcc: [...this.#addBcc],
      provenance: this.provenance,
      ...(this.#wishes.length === 0 ? {} : { wishes: [...this.#wishes] }),
    };
  }

  #decide(action: FinalAction, reply: Reply | undefined, by: HookDecision["by"]): void {
    if (STRENGTH[action] <= STRENGTH[this.#action]) return;
    this.#action = action;
    this.#reply = reply;
    this.#by = by;
  }

  #addFailure({ place, pluginId, policy }: HookOutcome & { readonly kind: "failure" }): void {
    const by = { ...place, pluginId, reason: undefined };
    if (policy === "reject") this.#decide("reject", DEFAULT_REJECT, by);
    else if (policy === "tempfail") this.#decide("tempfail", DEFAULT_TEMPFAIL, by);
    else if (policy === "hold") this.#decide("hold", undefined, by);
    else {
      this.#headers.push([SKIPPED_HEADER, place.name]);
      this.#tags.add(UNCHECKED_TAG);
    }
  }

  #addChanges(answer: CheckedAnswer): string[] {
    const changes: string[] = [];
    for (const tag of answer.tagsAdd) this.#tags.add(tag);
    for (const tag of answer.tagsRemove) this.#removed.add(tag);
    if (answer.tagsAdd.length + answer.tagsRemove.length > 0) changes.push("tags");
    this.#systemFlags |= answer.systemFlags;
    for (const keyword of answer.keywords) this.#keywords.add(keyword);
    if (answer.systemFlags !== 0 || answer.keywords.length > 0) changes.push("flags");
    for (const [key, value] of answer.metadata) this.#metadata.set(key, value);
    if (answer.metadata.size > 0) changes.push("metadata");
    this.#headers.push(...answer.headers);
    if (answer.headers.length > 0) changes.push("headers");
    const { appendText, addBcc } = answer;
    if (appendText !== undefined) {
      this.#appendText.push(appendText);
      changes.push("append_text");
    }
    for (const address of addBcc) this.#addBcc.add(address);
    if (addBcc.length > 0) changes.push("recipients");
    return changes;
  }

  #setFolder(
    folder: string | undefined,
    hook: string,
  ): { readonly folder: string; readonly replacedHook: string } | undefined {
    if (folder === undefined) return undefined;
    const before = this.#folder;
    this.#folder = { name: folder, hook };
    return before === undefined || before.name === folder
      ? undefined
      : { folder: before.name, replacedHook: before.hook };
  }
}

/** @returns undefined: it wants nothing of the copy changed */
function wishOf({
  place,
  pluginId,
  answer,
  origin,
}: HookOutcome & { readonly kind: "answer" }): HookWish | undefined {
  const { tagsAdd, tagsRemove, systemFlags, keywords, folder } = answer;
  const metadata = [...answer.metadata.keys()];
  const words = tagsAdd.length + tagsRemove.length + keywords.length + metadata.length;
  if (words === 0 && systemFlags === 0 && folder === undefined) return undefined;
  return {
    ...origin,
    hook: place.name,
    pluginId,
    tagsAdd,
    tagsRemove,
    systemFlags,
    keywords,
    folder,
    metadata,
  };
}
