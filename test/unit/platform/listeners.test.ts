import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, mkdtempSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { getgid, umask } from "node:process";
import { type TestContext, test } from "node:test";
import { MairustError } from "../../../src/core/errors.ts";
import { deadlineAfter } from "../../../src/platform/deadline.ts";
import { type ListenerOptions, type ListenerSet, openListeners } from "../../../src/platform/listeners.ts";
import { bindWithAccess, findGid } from "../../../src/platform/unix-socket.ts";

const greet = () => createServer(socket => socket.on("error", () => {}).write("hello"));

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), "ml-"));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

async function open(
  t: TestContext,
  specs: readonly string[],
  more: Partial<ListenerOptions> = {},
): Promise<ListenerSet> {
  const access = { mode: "0600", group: "" };
  const set = await openListeners({
    name: "x.listen",
    specs,
    createServer: greet,
    access,
    maxConnections: 10,
    ...more,
  });
  t.after(() => set.close());
  return set;
}

/** Connect and wait for the greeting, or for the end without one. */
async function dial(
  spec: string | undefined,
): Promise<{ readonly socket: Socket; readonly greeted: boolean }> {
  const [, host = "", port = ""] = /^inet:(.*):(\d+)$/.exec(spec ?? "") ?? [];
  const socket =
    port === ""
      ? connect((spec ?? "").slice("unix:".length))
      : connect({ host: host.replace(/[[\]]/g, ""), port: Number(port) });
  socket.on("error", () => {});
  const greeted = await new Promise<boolean>(resolve => {
    socket.once("data", () => resolve(true));
    socket.once("close", () => resolve(false));
  });
  return { socket, greeted };
}

const code = (expected: string, text: RegExp) => (error: unknown) =>
  error instanceof MairustError && error.code === expected && text.test(error.message);

test("openListeners() opens TCP and UNIX listeners and tells the ports that the system chose", async t => {
  const path = join(folder(t), "deep/folder/a.sock");
  const set = await open(t, ["inet:127.0.0.1:0", `unix:${path}`]);
  assert.match(set.addresses[0] ?? "", /^inet:127\.0\.0\.1:[1-9]\d+$/);
  assert.equal(set.addresses[1], `unix:${path}`);
  for (const address of set.addresses) {
    const { socket, greeted } = await dial(address);
    assert.ok(greeted);
    socket.destroy();
  }
});

test("a UNIX socket gets the configured mode", async t => {
  const path = join(folder(t), "a.sock");
  await open(t, [`unix:${path}`], { access: { mode: "0660", group: String(getgid?.() ?? 0) } });
  assert.equal(statSync(path).mode & 0o777, 0o660);
});

test("a UNIX socket is its owner's alone between bind and chmod, and the mask is as before", t => {
  const path = join(folder(t), "a.sock");
  const before = umask();
  umask(0);
  t.after(() => umask(before));
  const server = createServer();
  t.after(() => server.close());
  let atBind = 0;
  bindWithAccess(path, { mode: "0666", group: "" }, () => {
    server.listen({ path });
    atBind = statSync(path).mode & 0o077;
  });
  assert.equal(atBind, 0);
  assert.equal(statSync(path).mode & 0o777, 0o666);
  assert.equal(umask(), 0);
});

test("a group that does not exist is named, and nothing listens", async t => {
  const path = join(folder(t), "a.sock");
  const opening = open(t, [`unix:${path}`], { access: { mode: "0660", group: "no-such-group" } });
  await assert.rejects(opening, code("config_invalid", /^x\.listen: .*no group "no-such-group"/));
  assert.ok(!existsSync(path));
});

test("findGid() reads names from a group file and takes numbers as they are", t => {
  const file = join(folder(t), "group");
  writeFileSync(file, "root:x:0:\npostfix:x:108:a,b\n");
  assert.equal(findGid("postfix", file), 108);
  assert.equal(findGid("post", file), undefined);
  assert.equal(findGid("12", file), 12);
});

/** A socket file that nobody listens on: what a killed process leaves. */
async function leaveStaleSocket(path: string): Promise<void> {
  const server = createServer();
  const moved = `${path}.moved`;
  server.listen(moved);
  await once(server, "listening");
  renameSync(moved, path);
  server.close();
  await once(server, "close");
  assert.ok(existsSync(path));
}

test("a socket left by a killed process is replaced", async t => {
  const path = join(folder(t), "a.sock");
  await leaveStaleSocket(path);
  const set = await open(t, [`unix:${path}`]);
  const { socket, greeted } = await dial(set.addresses[0]);
  assert.ok(greeted);
  socket.destroy();
});

test("a socket that somebody listens on is left alone", async t => {
  const path = join(folder(t), "a.sock");
  const first = await open(t, [`unix:${path}`]);
  await assert.rejects(open(t, [`unix:${path}`]), code("already_exists", /another process listens/));
  const { socket, greeted } = await dial(first.addresses[0]);
  assert.ok(greeted);
  socket.destroy();
});

test("a file that is no socket is left alone", async t => {
  const path = join(folder(t), "a.sock");
  writeFileSync(path, "mail");
  await assert.rejects(open(t, [`unix:${path}`]), code("already_exists", /is no socket/));
  assert.equal(statSync(path).size, 4);
});

test("an address in use is named, and the listeners opened before are closed again", async t => {
  const path = join(folder(t), "a.sock");
  const [taken] = (await open(t, ["inet:127.0.0.1:0"])).addresses;
  const opening = open(t, [`unix:${path}`, String(taken)]);
  await assert.rejects(
    opening,
    code("already_exists", new RegExp(`x\\.listen: Cannot listen on "${taken}": another process`)),
  );
  assert.ok(!existsSync(path));
});

test("a socket path over 107 bytes and TLS are refused with a clear text", async t => {
  await assert.rejects(
    open(t, [`unix:/${"x".repeat(107)}`]),
    code("config_invalid", /108 bytes, .* at most 107/),
  );
  await assert.rejects(open(t, ["tls:127.0.0.1:0"]), code("not_built", /TLS is not built/));
  const set = await open(t, ["tls:127.0.0.1:0"], { tls: true });
  assert.match(String(set.addresses), /^tls:127\.0\.0\.1:\d+$/u);
});

test("the limit of connections holds over all addresses together", async t => {
  let drops = 0;
  const path = join(folder(t), "a.sock");
  const onDrop = () => {
    drops++;
  };
  const set = await open(t, ["inet:127.0.0.1:0", `unix:${path}`], { maxConnections: 2, onDrop });
  const [tcp, unix] = set.addresses;
  const kept = [await dial(tcp), await dial(tcp)];
  assert.deepEqual(
    kept.map(({ greeted }) => greeted),
    [true, true],
  );
  assert.equal(set.connectionCount(), 2);
  assert.equal((await dial(tcp)).greeted, false);
  assert.equal((await dial(unix)).greeted, false);
  assert.equal(drops, 2);
  kept[0]?.socket.destroy();
  while (set.connectionCount() > 1) await new Promise(resolve => setImmediate(resolve));
  const again = await dial(unix);
  assert.ok(again.greeted);
  again.socket.destroy();
});

test("drain() stops accepting, waits for connections to end, and cuts none of those", async t => {
  const set = await open(t, ["inet:127.0.0.1:0"]);
  const { socket } = await dial(set.addresses[0]);
  const drained = set.drain(deadlineAfter(20_000));
  assert.equal((await dial(set.addresses[0])).greeted, false);
  socket.end();
  assert.equal(await drained, 0);
});

test("drain() cuts what is left at the deadline", async t => {
  const path = join(folder(t), "a.sock");
  const set = await open(t, [`unix:${path}`]);
  const { socket } = await dial(set.addresses[0]);
  const closed = once(socket, "close");
  assert.equal(await set.drain(deadlineAfter(20)), 1);
  await closed;
  assert.equal(set.connectionCount(), 0);
  assert.ok(!existsSync(path));
});

test("an error of a listening server is handed on and does not end the process", async t => {
  const servers: Server[] = [];
  const errors: string[] = [];
  await open(t, ["inet:127.0.0.1:0"], {
    createServer: () => {
      const server = greet();
      servers.push(server);
      return server;
    },
    onError: error => errors.push(error.message),
  });
  servers[0]?.emit("error", new Error("EMFILE"));
  assert.deepEqual(errors, ["EMFILE"]);
});

test("a folder that cannot be made is reported by the listener's name", async t => {
  const file = join(folder(t), "file");
  writeFileSync(file, "");
  await assert.rejects(open(t, [`unix:${file}/a.sock`]), code("internal", /^x\.listen: Cannot listen on /));
});
