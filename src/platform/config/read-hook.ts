/** One hook that does not come from a file: the same schema, defaults and rules as `[[hooks]]`, and the same texts when it breaks them. */
import { MairustError } from "../../core/errors.ts";
import type { HookConfig } from "../../wire/config/schema.ts";
import { type MergeState, mergeDocument } from "./merge.ts";
import { type KeyPath, keyText } from "./problem.ts";
import { defaultsOf, ROOT } from "./schema-node.ts";
import { checkHookRules } from "./semantic.ts";

/**
 * @param value  the keys of one `[[hooks]]`, `name` among them
 * @returns      all keys, defaults filled in
 * @throws {MairustError} `config_invalid`, `context.problems` as a list of texts
 */
export async function readHook(value: Readonly<Record<string, unknown>>): Promise<HookConfig> {
  const state: MergeState = { tree: defaultsOf(ROOT), origins: new Map(), problems: [] };
  const layer = { locate: () => ({ kind: "default" }) as const, replacesLists: true };
  mergeDocument(state, layer, ROOT, { hooks: [value] });
  const problems = state.problems.map(({ key, text }) => problemText(key, text));
  const [row] = state.tree.hooks as readonly HookConfig[];
  if (row !== undefined) {
    await checkHookRules([row], (path: KeyPath, text) => problems.push(problemText(keyText(path), text)));
  }
  if (row !== undefined && problems.length === 0) return row;
  throw new MairustError("config_invalid", `Cannot use the hook: ${problems.join("; ")}`, {
    publicText: "the hook has errors",
    context: { problems },
  });
}

const problemText = (key: string, text: string) => `${key.replace(/^hooks\[0\]\.?/u, "")}: ${text}`;
