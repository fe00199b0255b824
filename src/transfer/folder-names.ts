/**
 * Which mailbox a folder of another mail store becomes. Pure.
 *
 * 1. `--map OLD=NEW`, for the folder and what is below it. 2. A name that is ours stays. 3. Usual names, English and Japanese, of the
 * folders that RFC 6154 gives a use become ours, if only one folder claims it. 4. All others keep their name.
 * What no mailbox name may hold (`/` within a level, control characters, levels `.` `..` or empty) becomes `_`.
 */
import type { FolderMapping } from "../wire/transfer-calls.ts";

/** Most levels that the store takes. */
const MAX_LEVELS = 20;

const USUAL_NAMES: Readonly<Record<string, readonly string[]>> = {
  Sent: [
    "Sent Items",
    "Sent Messages",
    "Sent Mail",
    "Sent-Mail",
    "送信済み",
    "送信済みアイテム",
    "送信済みメール",
    "送信済みトレイ",
    "送信箱",
  ],
  Drafts: ["Draft", "下書き", "草稿", "下書きトレイ"],
  Trash: [
    "Deleted Items",
    "Deleted Messages",
    "Deleted",
    "Bin",
    "Rubbish",
    "ゴミ箱",
    "ごみ箱",
    "削除済みアイテム",
    "削除済み",
  ],
  Junk: [
    "Spam",
    "Junk E-mail",
    "Junk Email",
    "Junk Mail",
    "Bulk Mail",
    "Bulk",
    "迷惑メール",
    "迷惑メールフォルダ",
    "スパム",
  ],
  Archive: ["Archives", "アーカイブ", "保管", "保存済み"],
};

/** Lower-case NFC of a usual name → ours. */
const OURS: ReadonlyMap<string, string> = new Map(
  Object.entries(USUAL_NAMES).flatMap(([ours, names]) =>
    [ours, ...names].map(name => [name.normalize("NFC").toLowerCase(), ours] as const),
  ),
);

export interface PlannedFolder {
  readonly source: string;
  readonly target: string;
  /** Another folder goes into the same mailbox: its UIDs cannot be the source's. */
  readonly shared: boolean;
}

/** One level of a name, made usable. */
export function usableLevel(level: string): string {
  const clean = level.normalize("NFC").replace(/[/\p{Cc}\p{Cs}]/gu, "_");
  return clean === "" || clean === "." || clean === ".." ? "_" : clean;
}

/** @param sources  names with `/` between usable levels; "INBOX" is the inbox */
export function planFolders(
  sources: readonly string[],
  maps: readonly FolderMapping[],
  uses: ReadonlyMap<string, string> = new Map(),
): readonly PlannedFolder[] {
  const targets = new Map(sources.map(source => [source, targetOf(source, sources, maps, uses)]));
  const counts = new Map<string, number>();
  for (const target of targets.values()) counts.set(target, (counts.get(target) ?? 0) + 1);
  return sources.map(source => {
    const target = targets.get(source) ?? source;
    return { source, target, shared: (counts.get(target) ?? 0) > 1 };
  });
}

function targetOf(
  source: string,
  sources: readonly string[],
  maps: readonly FolderMapping[],
  uses: ReadonlyMap<string, string>,
): string {
  // The longest name that fits decides.
  const fitting = maps
    .filter(({ from }) => source === from || source.startsWith(`${from}/`))
    .sort((one, other) => other.from.length - one.from.length)[0];
  if (fitting !== undefined) return limited(`${fitting.to}${source.slice(fitting.from.length)}`);
  const [top = "", ...below] = source.split("/");
  const ours = oursFor(top, sources, uses);
  return limited([ours ?? top, ...below].join("/"));
}

/** @param uses  SPECIAL-USE of top folders, as ours: they count before names */
function oursFor(
  top: string,
  sources: readonly string[],
  uses: ReadonlyMap<string, string>,
): string | undefined {
  const nameOf = (one: string) => uses.get(one) ?? OURS.get(one.normalize("NFC").toLowerCase());
  const ours = nameOf(top);
  if (ours === undefined || ours === top) return ours;
  const tops = [...new Set(sources.map(source => source.split("/")[0] ?? ""))];
  const claims = tops.filter(one => nameOf(one) === ours);
  const byUse = claims.filter(one => uses.get(one) === ours);
  const winner = byUse[0] ?? (claims.includes(ours) ? ours : claims.length === 1 ? claims[0] : undefined);
  return winner === top ? ours : undefined;
}

function limited(name: string): string {
  const levels = name.split("/");
  if (levels.length <= MAX_LEVELS) return name;
  return [...levels.slice(0, MAX_LEVELS - 1), levels.slice(MAX_LEVELS - 1).join("_")].join("/");
}
