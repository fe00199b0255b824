/** Where the groups of this process stand in the file system. Sources: cgroups(7) on /proc/self/cgroup; proc_pid_mountinfo(5). */
import { readFileSync } from "node:fs";
import { join } from "node:path";

export interface CgroupHierarchy {
  /** Of the mount. */
  readonly root: string;
  /** Of our own group. */
  readonly path: string;
}

export interface CgroupHierarchies {
  /** By controller. */
  readonly v1: ReadonlyMap<string, CgroupHierarchy>;
  readonly v2: CgroupHierarchy | undefined;
}

export function findHierarchies(): CgroupHierarchies {
  try {
    return parseHierarchies(
      readFileSync("/proc/self/cgroup", "utf8"),
      readFileSync("/proc/self/mountinfo", "utf8"),
    );
  } catch {
    // No /proc: then there is nothing else either.
    return { v1: new Map(), v2: undefined };
  }
}

/**
 * @param groups  `/proc/self/cgroup`: `4:memory:/a/b`; version 2: `0::/a/b`
 * @param mounts  `/proc/self/mountinfo`
 */
export function parseHierarchies(groups: string, mounts: string): CgroupHierarchies {
  const own = new Map<string, string>();
  for (const line of groups.split("\n")) {
    const [, controllers, path] = /^\d+:([^:]*):(.*)$/u.exec(line) ?? [];
    if (path === undefined) continue;
    for (const controller of (controllers ?? "").split(",")) own.set(controller, path);
  }
  const v1 = new Map<string, CgroupHierarchy>();
  let v2: CgroupHierarchy | undefined;
  for (const line of mounts.split("\n")) {
    const [before = "", after = ""] = line.split(" - ");
    const [, , , root = "/", mount = ""] = before.split(" ");
    const [type, , options = ""] = after.split(" ");
    if (type === "cgroup2") v2 ??= place(mount, root, own.get(""));
    if (type !== "cgroup") continue;
    for (const option of options.split(",")) {
      const path = own.get(option);
      if (path !== undefined && !v1.has(option)) v1.set(option, place(mount, root, path));
    }
  }
  return { v1, v2 };
}

/** @param root  the part of the hierarchy that is mounted: in a container, often its own group */
function place(mount: string, root: string, path = "/"): CgroupHierarchy {
  const below = root !== "/" && path.startsWith(root) ? path.slice(root.length) : path;
  return { root: mount, path: join(mount, below) };
}
