/** The egress proxy on its socket, with clients that are good, wrong, slow and hostile. Names are answered by the test. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, type TestContext, test } from "node:test";
import { createServer as createTlsServer, connect as tlsConnect } from "node:tls";
import type { EgressPolicy, EgressProxies } from "../../../src/core/ports/egress.ts";
import { sleep } from "../../../src/platform/deadline.ts";
import { dialAddresses } from "../../../src/runtimes/egress/dial.ts";
import { createEgressProxies, type EgressOptions } from "../../../src/runtimes/egress/proxies.ts";
import { TUNNEL_LIMITS, type TunnelLimits } from "../../../src/runtimes/egress/tunnel.ts";
import { realHello } from "../../lib/client-hello.ts";
import { silentLog } from "../../lib/database.ts";
import { dialGate, rest, say, tunnel } from "../../lib/egress-client.ts";

const PLUGIN = "com.example.p";
const folder = mkdtempSync(join(tmpdir(), "mr-egress-"));
const PUBLIC = "93.184.216.34";
const echo = createServer({ allowHalfOpen: true }, socket => void socket.on("error", () => {}).pipe(socket));
let echoPort = 0;
let tlsPort = 0;
let tls: Server;
let ca = "";

const portOf = (server: Server) => (server.address() as AddressInfo).port;
const listen = (server: Server) =>
  new Promise<number>(done => server.listen(0, "127.0.0.1", () => done(portOf(server))));

before(async () => {
  echoPort = await listen(echo);
  const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
  const request = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=api.example.com -addext".split(" ");
  const files = ["-keyout", key, "-out", cert];
  execFileSync("openssl", [...request, "subjectAltName=DNS:api.example.com", ...files], { stdio: "ignore" });
  ca = readFileSync(cert, "utf8");
  tls = createTlsServer({ key: readFileSync(key), cert: ca }, socket => socket.end("over tls"));
  tls.on("tlsClientError", () => {});
  tlsPort = await listen(tls);
});
after(() => {
  echo.close();
  tls.close();
  rmSync(folder, { recursive: true, force: true });
});

interface Setup {
  readonly mode?: EgressPolicy["mode"];
  readonly allow?: readonly string[];
  readonly limits?: Partial<TunnelLimits>;
  readonly names?: (host: string) => readonly string[];
  /** Of this host, behind every public address; 0: nobody listens. */
  readonly port?: number;
  readonly options?: Partial<EgressOptions>;
}

/** What was dialled is kept; a public address leads to a port of the test. */
async function opened(t: TestContext, setup: Setup = {}) {
  const { mode = "outbound-limited", allow = ["api.example.com:443", "api.example.com:80"] } = setup;
  const dialled: string[] = [];
  const looked: string[] = [];
  const gates = mkdtempSync(join(folder, "gates-"));
  const proxies: EgressProxies = createEgressProxies({
    folder: gates,
    reservedPorts: () => new Set(),
    log: silentLog,
    resolve: async host => {
      looked.push(host);
      return (setup.names ?? (() => [PUBLIC]))(host);
    },
    ...(mode === "local-only"
      ? {}
      : {
          dial: (addresses, port, signal) => {
            dialled.push(`${addresses.join(",")} ${port}`);
            return dialAddresses(["127.0.0.1"], setup.port ?? echoPort, signal);
          },
        }),
    tunnelLimits: { ...TUNNEL_LIMITS, ...setup.limits },
    ...setup.options,
  });
  const gate = await proxies.open(PLUGIN, { mode, allow });
  t.after(() => gate.close());
  const rows = () => proxies.traffic().map(({ plugin: _, ...row }) => row);
  return { proxies, gates, path: gate.socketPath, gate, dialled, looked, rows };
}

/** Asks until there is a place: when a tunnel that was given up makes room has no other sign. */
async function served(path: string): Promise<void> {
  for (let tries = 0; ; tries++) {
    const said = await tunnel(path, "api.example.com:80").catch(() => undefined);
    said?.socket.destroy();
    if (said?.status === 200) return;
    assert.ok(tries < 1000, "no place came free");
    await sleep(10);
  }
}

async function echoed(socket: Socket, text: string): Promise<string> {
  const all = rest(socket);
  socket.end(text);
  return (await all).toString();
}

test("bytes go both ways to the address that was checked, and each one is counted", async t => {
  const { path, dialled, looked, rows } = await opened(t);
  for (const text of ["hello", "x".repeat(300_000)]) {
    const { socket, status } = await tunnel(path, "API.example.com:80");
    assert.equal(status, 200);
    assert.equal(await echoed(socket, text), text);
  }
  assert.deepEqual(looked, ["api.example.com", "api.example.com"]);
  assert.deepEqual(dialled, [`${PUBLIC} 80`, `${PUBLIC} 80`]);
  assert.deepEqual(rows(), [
    { destination: "api.example.com:80", connections: 2, refused: {}, bytesUp: 300_005, bytesDown: 300_005 },
  ]);
});

test("what a client sends right behind its CONNECT is part of the tunnel", async t => {
  const { path, rows } = await opened(t);
  const { socket, text } = await say(path, "CONNECT api.example.com:80 HTTP/1.1\r\n\r\nearly");
  const all = text + (await echoed(socket, " late"));
  assert.equal(all, "HTTP/1.1 200 Connection established\r\n\r\nearly late");
  assert.equal(rows()[0]?.bytesUp, 10);
});

test("TLS to a listed name works, its certificate is the server's own", async t => {
  const { path } = await opened(t, { port: tlsPort });
  const { socket } = await tunnel(path, "api.example.com:443");
  const secured = tlsConnect({ socket, servername: "api.example.com", ca });
  assert.equal((await rest(secured)).toString(), "over tls");
});

test("every refusal is told, counted once, and leads to no connection", async t => {
  const { path, dialled, rows } = await opened(t, {
    names: host => (host === "api.example.com" ? ["10.0.0.1"] : []),
    allow: ["api.example.com:443", "gone.example:443"],
  });
  for (const [bytes, status, text] of [
    ["CONNECT other.example:443 HTTP/1.1\r\n\r\n", 403, /not in the plugin's network_allow/],
    ["CONNECT api.example.com:25 HTTP/1.1\r\n\r\n", 403, /only ports 80 and 443/],
    ["CONNECT api.example.com:443 HTTP/1.1\r\n\r\n", 403, /private address/],
    ["CONNECT 127.0.0.1:443 HTTP/1.1\r\n\r\n", 403, /not in the plugin/],
    ["CONNECT [::1]:443 HTTP/1.1\r\n\r\n", 403, /not in the plugin/],
    ["CONNECT gone.example:443 HTTP/1.1\r\n\r\n", 502, /no address/],
    ["GET http://api.example.com/ HTTP/1.1\r\nHost: api.example.com\r\n\r\n", 405, /CONNECT only/],
    ["CONNECT 2130706433:443 HTTP/1.1\r\n\r\n", 400, /not host:port/],
    ["\r\n\r\n", 400, /no proxy request/],
    [`CONNECT api.example.com:443 HTTP/1.1\r\nX: ${"x".repeat(9000)}`, 431, /8192 bytes/],
  ] as const) {
    const said = await say(path, bytes);
    assert.equal(said.status, status, said.text);
    assert.match(said.text, text);
    assert.ok(!said.text.includes("10.0.0.1"), "the address of a name is nobody's business");
  }
  assert.deepEqual(dialled, []);
  assert.deepEqual(Object.fromEntries(rows().map(({ destination, refused }) => [destination, refused])), {
    "other.example:443": { not_listed: 1 },
    "api.example.com:25": { port: 1 },
    "api.example.com:443": { address: 1 },
    "127.0.0.1:443": { not_listed: 1 },
    "[::1]:443": { not_listed: 1 },
    "gone.example:443": { no_address: 1 },
    "(none)": { not_connect: 1, bad_request: 2, head_too_large: 1 },
  });
  assert.ok(rows().every(row => row.connections + row.bytesUp + row.bytesDown === 0));
});

test("a name that moves to a private address is refused from then on, and is looked up once a connection", async t => {
  const answers = [[PUBLIC], ["127.0.0.1"], [PUBLIC, "10.0.0.1"], ["::ffff:10.0.0.1"], [PUBLIC]];
  const { path, dialled, looked, rows } = await opened(t, { names: () => answers.shift() ?? [] });
  const seen: number[] = [];
  for (let i = 0; i < 5; i++) {
    const { status, socket } = await tunnel(path, "api.example.com:80");
    seen.push(status);
    socket.destroy();
  }
  assert.deepEqual(seen, [200, 403, 403, 403, 200]);
  assert.equal(looked.length, 5);
  assert.deepEqual(dialled, [`${PUBLIC} 80`, `${PUBLIC} 80`]);
  assert.deepEqual(rows()[0]?.refused, { address: 3 });
});

test("an address is connected to as it was checked: no name is looked up on the way", async () => {
  const socket = await dialAddresses(["127.0.0.1"], echoPort, AbortSignal.timeout(20_000));
  assert.equal(socket.remoteAddress, "127.0.0.1");
  assert.equal(await echoed(socket, "direct"), "direct");
});

test("a server that does not answer is told of in time", async t => {
  const closed = createServer();
  const port = await listen(closed);
  closed.close();
  const { path, rows } = await opened(t, { port });
  assert.equal((await tunnel(path, "api.example.com:80")).status, 502);
  const silent = await opened(t, {
    limits: { connectMs: 50 },
    options: {
      dial: (_, __, signal) =>
        new Promise((_done, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
    },
  });
  assert.equal((await tunnel(silent.path, "api.example.com:80")).status, 502);
  const nameless = await opened(t, {
    limits: { connectMs: 50 },
    options: { resolve: () => new Promise(() => {}) },
  });
  assert.equal((await tunnel(nameless.path, "api.example.com:80")).status, 502);
  assert.deepEqual(rows()[0]?.refused, { unreachable: 1 });
});

test("on port 443 nothing goes out before a TLS hello names the host of CONNECT", async t => {
  const { path, rows } = await opened(t);
  for (const [what, first, reply] of [
    ["another name", await realHello("evil.example.com"), [21, 3, 3, 0, 2, 2, 112]],
    ["no name", await realHello(""), [21, 3, 3, 0, 2, 2, 112]],
    ["plain text", Buffer.from("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n"), []],
  ] as const) {
    const { socket } = await tunnel(path, "api.example.com:443");
    const all = rest(socket);
    socket.end(first);
    assert.deepEqual([...(await all)], reply, what);
  }
  const { socket } = await tunnel(path, "api.example.com:443");
  socket.end("\x16\x03");
  assert.equal((await rest(socket)).length, 0, "half a hello");
  const [row] = rows();
  assert.deepEqual(row?.refused, { sni: 2, not_tls: 1, bad_request: 1 });
  assert.deepEqual([row?.connections, row?.bytesUp, row?.bytesDown], [0, 0, 0]);
  const good = await tunnel(path, "api.example.com:443");
  const hello = await realHello("api.example.com");
  const all = rest(good.socket);
  good.socket.write(hello.subarray(0, 7));
  good.socket.end(hello.subarray(7));
  assert.ok((await all).equals(hello), "a hello in pieces");
});

test("unlimited reaches any public name on the web's ports, an address too, and checks the same", async t => {
  const { path, dialled, rows } = await opened(t, {
    mode: "unlimited",
    allow: [],
    names: host => (host.startsWith("in") ? ["192.168.0.1"] : [PUBLIC]),
  });
  assert.equal((await tunnel(path, "any.example:80")).status, 200);
  assert.equal((await tunnel(path, "8.8.8.8:80")).status, 200);
  for (const target of ["in.example:80", "192.168.0.1:80", "[::ffff:127.0.0.1]:80", "any.example:25"])
    assert.equal((await tunnel(path, target)).status, 403, target);
  assert.deepEqual(dialled, [`${PUBLIC} 80`, "8.8.8.8 80"]);
  assert.equal(rows().length, 6);
});

test("local-only reaches the listed port of this host and no other", async t => {
  const other = createServer(socket => socket.end("never"));
  const otherPort = await listen(other);
  t.after(() => other.close());
  const { path, rows, looked } = await opened(t, { mode: "local-only", allow: [`127.0.0.1:${echoPort}`] });
  const { socket } = await tunnel(path, `localhost:${echoPort}`);
  assert.equal(await echoed(socket, "model"), "model");
  for (const target of [`127.0.0.1:${otherPort}`, "127.0.0.1:25", `${PUBLIC}:80`, "api.example.com:443"])
    assert.equal((await tunnel(path, target)).status, 403, target);
  assert.deepEqual(looked, []);
  assert.equal(rows().find(row => row.destination === "127.0.0.1:25")?.refused.own_port, 1);
});

test("half requests are cut in time, and keep nobody from the seventeenth place for ever", async t => {
  const { path, rows } = await opened(t, { limits: { headMs: 300 } });
  const halves = await Promise.all(
    Array.from({ length: 16 }, async () => {
      const socket = await dialGate(path);
      socket.write("CONNECT api.exam");
      return rest(socket);
    }).map(async half => (await half).toString()),
  );
  for (const half of halves) assert.match(half, /^HTTP\/1\.1 408 /u);
  assert.deepEqual(rows()[0]?.refused, { too_slow: 16 });
  await served(path);
});

test("sixteen tunnels stand, the seventeenth is refused, and has its place when one has ended", async t => {
  const { path, rows } = await opened(t);
  const standing: Socket[] = [];
  for (let i = 0; i < 16; i++) {
    const { status, socket } = await tunnel(path, "api.example.com:80");
    assert.equal(status, 200);
    standing.push(socket);
  }
  const refused = await tunnel(path, "api.example.com:80");
  assert.equal(refused.status, 429);
  assert.match(refused.text, /16 connections/);
  standing[0]?.destroy();
  await served(path);
  for (const socket of standing) socket.destroy();
  assert.ok((rows().find(row => row.destination === "(none)")?.refused.too_many ?? 0) >= 1);
});

test("who comes while another one ends has its place", async t => {
  const gateLimits = { tunnels: 1, waiting: 16, waitMs: 60_000 };
  const { path, rows } = await opened(t, { options: { gateLimits } });
  const { socket } = await tunnel(path, "api.example.com:80");
  const next = tunnel(path, "api.example.com:80");
  await sleep(50);
  socket.destroy();
  assert.equal((await next).status, 200);
  assert.deepEqual(rows()[0]?.refused, {});
});

test("a flood of connections is closed, and the proxy serves on", async t => {
  const { path } = await opened(t);
  const flood = await Promise.allSettled(Array.from({ length: 300 }, () => dialGate(path)));
  const sockets = flood.flatMap(one => (one.status === "fulfilled" ? [one.value] : []));
  for (const socket of sockets) socket.on("error", () => {}).write("x".repeat(100));
  for (const socket of sockets) socket.destroy();
  await served(path);
});

test("a tunnel where nothing moves ends, also one whose client does not read", async t => {
  const source = createServer(socket => {
    socket.on("error", () => {});
    const more = () => {
      while (socket.writable && socket.write(Buffer.alloc(65_536)));
    };
    socket.on("drain", more);
    more();
  });
  const port = await listen(source);
  t.after(() => source.close());
  const { path } = await opened(t, { limits: { idleMs: 100 } });
  const idle = await tunnel(path, "api.example.com:80");
  assert.equal((await rest(idle.socket)).length, 0);
  const stalled = await opened(t, { limits: { idleMs: 100 }, port });
  const { socket } = await tunnel(stalled.path, "api.example.com:80");
  socket.pause();
  const connections = () => new Promise<number>(done => source.getConnections((_, count) => done(count)));
  assert.ok((stalled.rows()[0]?.connections ?? 0) === 1);
  while ((await connections()) > 0) await sleep(10);
  socket.destroy();
});

test("a socket is its plugin's alone, and a closed gate leaves nothing behind", async t => {
  const { proxies, gates, path, gate } = await opened(t);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal(statSync(gates).mode & 0o777, 0o711);
  const second = await proxies.open(PLUGIN, { mode: "unlimited", allow: [] });
  t.after(() => second.close());
  assert.notEqual(second.socketPath, path, "a plugin that is upgraded has two");
  const { socket } = await tunnel(path, "api.example.com:80");
  const ended = rest(socket);
  await gate.close();
  await ended;
  assert.ok(!existsSync(path));
  await assert.rejects(dialGate(path));
  assert.equal((await tunnel(second.socketPath, "any.example:80")).status, 200);
});

test("a plugin's own user may connect, and no other", {
  skip: process.getuid?.() !== 0 && "needs root",
}, async t => {
  const { proxies } = await opened(t);
  const gate = await proxies.open(PLUGIN, { mode: "unlimited", allow: [], uid: 61_234 });
  t.after(() => gate.close());
  const script = `require("net").connect(process.argv[1]).on("error",e=>{console.log(e.code);process.exit()}).on("connect",()=>{console.log("in");process.exit()})`;
  const as = (uid: number) =>
    execFileSync(process.execPath, ["-e", script, gate.socketPath], {
      uid,
      gid: uid,
      encoding: "utf8",
    }).trim();
  execFileSync("chmod", ["755", folder]);
  assert.deepEqual([as(61_234), as(61_235)], ["in", "EACCES"]);
});

test("a socket that a killed service left is taken over, one that is in use is not", async t => {
  const { gates, path, gate } = await opened(t);
  const again = createEgressProxies({
    folder: gates,
    reservedPorts: () => new Set(),
    log: silentLog,
  });
  const open = () => again.open(PLUGIN, { mode: "unlimited", allow: [] });
  await assert.rejects(open(), { code: "already_exists" });
  await gate.close();
  const killed = `require("net").createServer().listen(process.argv[1],()=>process.kill(process.pid,"SIGKILL"))`;
  assert.throws(() => execFileSync(process.execPath, ["-e", killed, path]));
  assert.ok(existsSync(path));
  const taken = await open();
  t.after(() => taken.close());
  assert.equal(taken.socketPath, path);
});

test("what is asked for without end is counted in one row, and the sums stay whole", async t => {
  const { path, rows } = await opened(t);
  for (let i = 0; i < 230; i++) await tunnel(path, `h${i}.example:443`);
  assert.equal(rows().length, 201);
  assert.equal(rows().find(row => row.destination === "(others)")?.refused.not_listed, 30);
});
