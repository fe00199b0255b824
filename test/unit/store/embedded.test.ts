import assert from "node:assert/strict";
import { tmpdir } from "node:os";
import { test } from "node:test";
import { canRead } from "../../../src/store/embedded-binaries.ts";
import { parsePostmasterPid } from "../../../src/store/embedded-cluster.ts";
import { isAlive, startTimeOf } from "../../../src/store/embedded-process.ts";
import { chooseSocketDir, serverArguments } from "../../../src/store/embedded-settings.ts";

test("parsePostmasterPid() reads what the server writes, at any moment of its writing", () => {
  const text = "9835\n/data\n1795223041\n5432\n/sockets\n\n  2146458         4\nready   \n";
  assert.deepEqual(parsePostmasterPid(text), {
    pid: 9835,
    port: 5432,
    socketDir: "/sockets",
    status: "ready",
  });
  assert.equal(parsePostmasterPid(text.replace("ready   ", "stopping"))?.status, "stopping");
  for (let length = 0; length < text.length; length += 1) {
    const partial = parsePostmasterPid(text.slice(0, length));
    assert.ok(partial === undefined || partial.status === "" || partial.status === "ready");
  }
});

test("chooseSocketDir() takes the data folder, then runtime_dir, then says what to change", () => {
  assert.equal(chooseSocketDir("/var/lib/mairust/postgres", "/run/mairust"), "/var/lib/mairust/postgres");
  assert.equal(chooseSocketDir(`/${"d".repeat(120)}`, "/run/mairust"), "/run/mairust/postgres");
  assert.equal(chooseSocketDir("/with,comma", "/run/mairust"), "/run/mairust/postgres");
  assert.throws(() => chooseSocketDir(`/${"d".repeat(120)}`, `/${"r".repeat(120)}`), {
    code: "config_invalid",
    message: /runtime_dir/,
  });
  const limit = process.platform === "linux" ? 107 : 103;
  const longest = `/${"d".repeat(limit - "/.s.PGSQL.5432".length - 1)}`;
  assert.equal(chooseSocketDir(longest, "/run/mairust"), longest);
  assert.equal(chooseSocketDir(`${longest}d`, "/run/mairust"), "/run/mairust/postgres");
});

test("the server listens on no network and loses nothing that was committed", () => {
  const args = serverArguments("/data", "/sockets");
  for (const setting of ["listen_addresses=", "fsync=on", "synchronous_commit=on", "full_page_writes=on"])
    assert.ok(args.includes(setting));
});

test("isAlive() knows this process and no impossible one", () => {
  assert.ok(isAlive(process.pid));
  assert.ok(!isAlive(2_147_483_646));
  assert.equal(startTimeOf(process.pid), startTimeOf(process.pid));
});

test("canRead() needs search permission on every folder above", () => {
  assert.ok(canRead(tmpdir(), { uid: 12_345, gid: 12_345 }));
  assert.ok(canRead("/", {}));
});
