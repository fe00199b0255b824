/** One hook that does not come from a file: the same schema, defaults and rules as `[[hooks]]`, and the same texts when it breaks them. */
import { MairustError } from "../../core/errors.ts";
import type { HookConfig } from "../../wire/config/schema.ts";
import { type MergeState, mergeDocument } from "./merge.ts";
import { type KeyPath, keyText } from "./problem.ts";
import { defaultsOf, ROOT } from "./schema-node.ts";
import { checkHookRules } from "./semantic.ts";

export interface ReadHook {
  /** All keys, defaults filled in and in place of what is wrong. */
  readonly row: HookConfig;
  /** Empty: it can be used. */
  readonly problems: readonly string[];
}

/** @param value  the keys of one `[[hooks]]`, `name` among them */
export async function readHook(value: Readonly<Record<string, unknown>>): Promise<ReadHook> {
  const state: MergeState = { tree: defaultsOf(ROOT), origins: new Map(), problems: [] };
  const layer = { locate: () => ({ kind: "default" }) as const, replacesLists: true };
  mergeDocument(state, layer, ROOT, { hooks: [value] });
  const problems = state.problems.map(({ key, text }) => problemText(key, text));
  const [row] = state.tree.hooks as readonly HookConfig[];
  if (row === undefined) throw new MairustError("internal", "Cannot read a hook: the schema has none");
  await checkHookRules([row], (path: KeyPath, text) => problems.push(problemText(keyText(path), text)));
  return { row, problems };
}

const problemText = (key: string, text: string) => `${key.replace(/^hooks\[0\]\.?/u, "")}: ${text}`;
