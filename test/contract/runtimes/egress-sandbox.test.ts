/** The way out as a plugin has it: inside bubblewrap, behind a seccomp filter, with stock clients of Python, and nothing beside it. */
import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { chmodSync, closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer as createWeb } from "node:http";
import { createServer as createTlsWeb } from "node:https";
import type { AddressInfo, Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, type TestContext, test } from "node:test";
import type { EgressPolicy } from "../../../src/core/ports/egress.ts";
import { dialAddresses } from "../../../src/runtimes/egress/dial.ts";
import { egressDoors } from "../../../src/runtimes/egress/door.ts";
import { createEgressProxies } from "../../../src/runtimes/egress/proxies.ts";
import { silentLog } from "../../lib/database.ts";
import { skipUnless } from "../../lib/not-here.ts";
import { socketFilter } from "../../lib/socket-filter.ts";

const folder = mkdtempSync(join(tmpdir(), "mr-way-out-"));
const filter = join(folder, "filter");
const missing = ["bwrap", "/usr/bin/python3", "/usr/bin/perl"].filter(
  program => spawnSync(program, ["--version"]).error !== undefined,
);
const isRoot = process.getuid?.() === 0;
const NOBODY = 65_534;

let web: Server;
let tls: Server;
let webPort = 0;
let tlsPort = 0;
let ca = "";

before(async () => {
  chmodSync(folder, 0o755);
  writeFileSync(filter, socketFilter());
  const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
  const request = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=api.example.com -addext".split(" ");
  const files = ["-keyout", key, "-out", cert];
  execFileSync("openssl", [...request, "subjectAltName=DNS:api.example.com", ...files], { stdio: "ignore" });
  ca = readFileSync(cert, "utf8");
  web = createWeb((incoming, response) => incoming.pipe(response));
  tls = createTlsWeb({ key: readFileSync(key), cert: ca }, (_, response) => response.end("secret model"));
  const listen = (server: Server) =>
    new Promise<number>(done =>
      server.listen(0, "127.0.0.1", () => done((server.address() as AddressInfo).port)),
    );
  webPort = await listen(web);
  tlsPort = await listen(tls);
});
after(() => {
  web.close();
  tls.close();
  rmSync(folder, { recursive: true, force: true });
});

interface Ran {
  readonly out: string;
  readonly err: string;
  readonly code: number | null;
}

/** A gate and a way to run commands behind it; `uid`: whose the sandbox is. */
async function confined(t: TestContext, policy: EgressPolicy, uid: number | undefined) {
  const proxies = createEgressProxies({
    folder: mkdtempSync(join(folder, "gates-")),
    reservedPorts: () => new Set(),
    log: silentLog,
    resolve: async host => (host === "inside.example.com" ? ["10.0.0.1"] : ["93.184.216.34"]),
    ...(policy.mode === "local-only"
      ? {}
      : {
          dial: (_, port, signal) => dialAddresses(["127.0.0.1"], port === 443 ? tlsPort : webPort, signal),
        }),
  });
  const shim = await egressDoors(proxies)("com.example.p", policy, uid);
  t.after(() => shim.close());
  const line = [
    ..."--unshare-all --unshare-user --disable-userns --die-with-parent --as-pid-1 --new-session".split(" "),
    ..."--ro-bind /usr /usr --symlink usr/bin /bin --symlink usr/lib /lib --symlink usr/lib64 /lib64".split(
      " ",
    ),
    ..."--proc /proc --dev /dev --size 1048576 --tmpfs /tmp".split(" "),
    ...shim.binds.flatMap(({ from, to }) => ["--ro-bind", from, to]),
    ..."--remount-ro / --cap-drop ALL --clearenv --setenv PATH /usr/bin --seccomp 3".split(" "),
    ...Object.entries(shim.env).flatMap(([name, value]) => ["--setenv", name, value]),
    "--",
    ...["prlimit", "--nproc=32", "--nofile=256", "--core=0", "--"],
    ...shim.prefix,
  ];
  const run = (command: readonly string[], input = ""): Promise<Ran> => {
    const descriptor = openSync(filter, "r");
    const child = spawn("bwrap", [...line, ...command], {
      stdio: ["pipe", "pipe", "pipe", descriptor],
      ...(uid === undefined ? {} : { uid, gid: uid }),
      cwd: "/",
    });
    closeSync(descriptor);
    const [out, err]: [Buffer[], Buffer[]] = [[], []];
    child.stdout?.on("data", chunk => out.push(chunk));
    child.stderr?.on("data", chunk => err.push(chunk));
    child.stdin?.on("error", () => {}).end(input);
    return new Promise(resolve =>
      child.on("close", code =>
        resolve({ out: Buffer.concat(out).toString(), err: Buffer.concat(err).toString(), code }),
      ),
    );
  };
  const python = (script: string, input = "") => run(["/usr/bin/python3", "-I", "-S", "-c", script], input);
  return { proxies, run, python };
}

const LIMITED: EgressPolicy = {
  mode: "outbound-limited",
  allow: ["api.example.com:443", "api.example.com:80", "inside.example.com:443"],
};

/** Prints what came of each attempt, one a line. */
const TRY = `
import os, socket, ssl, sys, json, urllib.request, http.client
def attempt(what, work):
    try: print(what, work())
    except Exception as error: print(what, type(error).__name__, getattr(error, "errno", None) or error)
`;

const users = isRoot
  ? [["root", undefined] as const, ["nobody", NOBODY] as const]
  : [["this user", undefined] as const];
describe("behind the egress proxy", {
  skip: skipUnless(missing.length === 0, `missing: ${missing.join(", ")}`),
}, () => {
  for (const [who, uid] of users) {
    test(`as ${who}: stock clients reach what is listed, by TLS and plain`, async t => {
      const { proxies, python } = await confined(t, LIMITED, uid);
      const { out, err, code } = await python(`${TRY}
context = ssl.create_default_context(cadata=${JSON.stringify(ca)})
attempt("tls", lambda: urllib.request.urlopen("https://api.example.com/", context=context, timeout=20).read().decode())
def plain():
    connection = http.client.HTTPConnection("127.0.0.1", 3128, timeout=20)
    connection.set_tunnel("api.example.com", 80)
    connection.request("POST", "/", b"x" * 3000000)
    return len(connection.getresponse().read())
attempt("plain", plain)
attempt("not listed", lambda: urllib.request.urlopen("https://evil.example.com/", context=context, timeout=20))
attempt("private", lambda: urllib.request.urlopen("https://inside.example.com/", context=context, timeout=20))
attempt("absolute", lambda: urllib.request.urlopen("http://api.example.com/", timeout=20))
`);
      assert.equal(code, 0, err);
      const lines = out.trim().split("\n");
      assert.deepEqual(lines.slice(0, 2), ["tls secret model", "plain 3000000"]);
      assert.match(lines[2] ?? "", /^not listed .*403/u);
      assert.match(lines[3] ?? "", /^private .*403/u);
      assert.match(lines[4] ?? "", /^absolute HTTPError .*405/u);
      const row = proxies.traffic().find(({ destination }) => destination === "api.example.com:80");
      assert.equal(row?.connections, 1);
      assert.ok((row?.bytesUp ?? 0) > 3_000_000 && (row?.bytesDown ?? 0) > 3_000_000);
    });

    test(`as ${who}: nothing gets out beside it`, async t => {
      const { python } = await confined(t, LIMITED, uid);
      const { out } = await python(`${TRY}
def tcp(host, port, family=socket.AF_INET):
    s = socket.socket(family); s.settimeout(5); s.connect((host, port)); return "connected"
def udp(host, port):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.sendto(b"x", (host, port)); return "sent"
attempt("host port", lambda: tcp("127.0.0.1", ${webPort}))
attempt("public", lambda: tcp("93.184.216.34", 80))
attempt("v6", lambda: tcp("::1", ${webPort}, socket.AF_INET6))
attempt("udp", lambda: udp("93.184.216.34", 53))
attempt("name", lambda: socket.getaddrinfo("api.example.com", 443))
attempt("netlink", lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW))
attempt("packet", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
attempt("abstract", lambda: socket.socket(socket.AF_UNIX).connect("\\0anything"))
`);
      const lines = out.trim().split("\n");
      assert.equal(lines.length, 8, out);
      for (const line of lines) assert.match(line, /Error|gaierror/u, out);
      assert.match(lines[2] ?? "", /PermissionError/u, "the filter of the test lets IPv6 sockets be made");
    });
  }

  test("local-only: a client that knows of no proxy reaches the listed port as it would outside", async t => {
    const policy = { mode: "local-only", allow: [`127.0.0.1:${webPort}`] } as const;
    const { proxies, python } = await confined(t, policy, undefined);
    const { out } = await python(`${TRY}
def post(port):
    request = urllib.request.Request(f"http://127.0.0.1:{port}/", b"y" * 200000)
    return len(urllib.request.urlopen(request, timeout=20).read())
for i in range(20): attempt("listed", lambda: post(${webPort}))
attempt("another", lambda: post(${tlsPort}))
`);
    const lines = out.trim().split("\n");
    assert.deepEqual(lines.slice(0, 20), Array<string>(20).fill("listed 200000"));
    assert.match(lines[20] ?? "", /^another URLError/u);
    const [row] = proxies.traffic();
    assert.deepEqual([row?.destination, row?.connections], [`127.0.0.1:${webPort}`, 20]);
  });

  test("many connections at once wait for their turn and are all served", async t => {
    const policy = { mode: "local-only", allow: [`127.0.0.1:${webPort}`] } as const;
    const { python } = await confined(t, policy, undefined);
    // More than the gate lets in at a time: the shim holds the others back.
    // Threads and processes are few in a sandbox; sockets that are asked in turn are not.
    const { out, err } = await python(`
import socket, time
request = b"POST / HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\nContent-Length: 5\\r\\n\\r\\nhello"
sockets = [socket.create_connection(("127.0.0.1", ${webPort})) for _ in range(40)]
time.sleep(0.5) # all that are taken in are
for s in sockets: s.sendall(request)
done = 0
for s in sockets:
    s.settimeout(20)
    data = b""
    while chunk := s.recv(65536): data += chunk
    done += data.endswith(b"hello\\r\\n0\\r\\n\\r\\n") or data.endswith(b"hello")
    s.close()
print(done)
`);
    assert.equal(out.trim(), "40", err);
  });

  test("the plugin is process 1 with its own streams, exit code and signals, and its way out ends with it", async t => {
    const { run, python } = await confined(t, LIMITED, undefined);
    assert.deepEqual(await run(["/bin/sh", "-c", "echo $$; cat; exit 7"], "from stdin"), {
      out: "1\nfrom stdin",
      err: "",
      code: 7,
    });
    assert.deepEqual((await run(["/nonexistent"])).code, 127);
    assert.match((await run(["/nonexistent"])).err, /egress shim: \/nonexistent: No such file/u);
    const { out } = await python(`
import os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: (print("term"), sys.exit(9)))
os.kill(1, signal.SIGTERM)
`);
    assert.equal(out, "term\n");
    const { out: left } = await python(`
import os
print([p for p in os.listdir("/proc") if p.isdigit()])
for p in os.listdir("/proc"):
    if p.isdigit() and p not in ("1", "self"):
        print(sorted(os.readlink(f"/proc/{p}/fd/{f}").split(":")[0] for f in os.listdir(f"/proc/{p}/fd")))
`);
    assert.match(left, /\['1', '2'\]\n\['socket'\]/u, "the shim holds its listener alone");
  });
});
