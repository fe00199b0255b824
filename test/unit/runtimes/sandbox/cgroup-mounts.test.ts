import assert from "node:assert/strict";
import { test } from "node:test";
import { parseHierarchies } from "../../../../src/runtimes/sandbox/cgroup-mounts.ts";

test("version 1: each controller has its own mount and its own path", () => {
  const { v1, v2 } = parseHierarchies(
    "4:memory:/a/b\n2:cpu,cpuacct:/c\n1:name=systemd:/\n0::/x\n",
    [
      "30 25 0:26 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory",
      "31 25 0:27 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct",
      "32 25 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw",
    ].join("\n"),
  );
  assert.equal(v1.get("memory")?.path, "/sys/fs/cgroup/memory/a/b");
  assert.equal(v1.get("cpuacct")?.path, "/sys/fs/cgroup/cpu,cpuacct/c");
  assert.equal(v1.get("pids"), undefined);
  assert.deepEqual(v2, { root: "/sys/fs/cgroup/unified", path: "/sys/fs/cgroup/unified/x" });
});

test("in a container the mount begins at its own group", () => {
  const mounts = "30 25 0:26 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup rw";
  assert.equal(parseHierarchies("0::/docker/abc/app\n", mounts).v2?.path, "/sys/fs/cgroup/app");
  assert.equal(parseHierarchies("0::/\n", mounts.replace("/docker/abc", "/")).v2?.path, "/sys/fs/cgroup");
});
