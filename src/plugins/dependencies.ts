/** Dependencies between enabled plugins: who is missing, who waits for whom. Plugins never reference each other; only their order counts. */
import type { Manifest } from "../wire/manifest.ts";
import { parseDependency, satisfies } from "./semver.ts";

export interface DependencyPlan {
  /** Ids, those that others need first. */
  readonly order: readonly string[];
  /** Id → why it cannot run. */
  readonly refused: ReadonlyMap<string, string>;
}

/** @param manifests  of the plugins that are to run, by id */
export function planDependencies(manifests: ReadonlyMap<string, Manifest>): DependencyPlan {
  const refused = new Map<string, string>();
  const order: string[] = [];
  const visiting = new Set<string>();
  const visit = (id: string): boolean => {
    const manifest = manifests.get(id);
    if (manifest === undefined || refused.has(id)) return false;
    if (order.includes(id)) return true;
    if (visiting.has(id)) {
      refused.set(id, `it depends on itself: ${[...visiting, id].join(" → ")}`);
      return false;
    }
    visiting.add(id);
    for (const text of manifest.depends ?? []) {
      const problem = dependencyProblem(text, manifests, visit);
      if (problem !== undefined && !refused.has(id)) refused.set(id, problem);
    }
    visiting.delete(id);
    if (refused.has(id)) return false;
    order.push(id);
    return true;
  };
  for (const id of manifests.keys()) visit(id);
  return { order, refused };
}

function dependencyProblem(
  text: string,
  manifests: ReadonlyMap<string, Manifest>,
  visit: (id: string) => boolean,
): string | undefined {
  const dependency = parseDependency(text);
  const other = manifests.get(dependency.id);
  if (other === undefined) return `it depends on "${dependency.id}", which is not enabled`;
  if (!satisfies(other.version, dependency)) return `it depends on "${text}", found version ${other.version}`;
  return visit(dependency.id) ? undefined : `it depends on "${dependency.id}", which cannot run`;
}
