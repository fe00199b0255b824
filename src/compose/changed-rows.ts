/** Hooks by command as they will be after some changes. */
import type { HookRowChange, StoredHook } from "../core/ports/hook-admin.ts";

export function changedRows(
  rows: readonly StoredHook[],
  changes: readonly HookRowChange[],
): readonly StoredHook[] {
  const byName = new Map(rows.map(row => [row.name, row]));
  const now = new Date();
  for (const change of changes) {
    const { name } = change;
    const known = byName.get(name);
    if (change.kind === "remove") byName.delete(name);
    else {
      const version = (known?.version ?? 0) + 1;
      byName.set(name, {
        name,
        keys: change.keys,
        version,
        createdAt: known?.createdAt ?? now,
        updatedAt: now,
      });
    }
  }
  return [...byName.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}
