/** TLS before and after login: STARTTLS, what may not be pipelined behind it, TLS from the start, and a certificate that is replaced. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { type AddressInfo, connect as connectPlain, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { connect, type TLSSocket } from "node:tls";
import { ServerTls } from "../../../../src/platform/tls-server.ts";
import { type Certificate, makeCertificate } from "../../../lib/certificate.ts";
import { silentLog } from "../../../lib/database.ts";
import { startTestServer, TestClient, type TestServer } from "./harness.ts";
import { PASSWORD } from "./memory-store.ts";

const folder = mkdtempSync(join(tmpdir(), "mr-imap-tls-"));
const tls = new ServerTls(silentLog, "imap");
const servers: TestServer[] = [];
let certificate: Certificate;

before(async () => {
  certificate = makeCertificate(folder, "mail.test");
  (await tls.prepare({ cert_file: certificate.path, key_file: certificate.keyPath }))();
});
after(async () => {
  await Promise.all(servers.map(server => server.close()));
  tls.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function started(
  kind: "implicit" | "starttls",
  options: Parameters<typeof startTestServer>[0] = {},
): Promise<TestServer> {
  const profile = { kind: "client", tls: kind } as const;
  const server = await startTestServer({ profile, parts: () => ({ tls }), ...options });
  servers.push(server);
  return server;
}

async function over(socket: Socket | undefined, port: number, more: object = {}): Promise<TLSSocket> {
  const secured = connect({
    ...(socket === undefined ? { port, host: "127.0.0.1" } : { socket }),
    servername: "mail.test",
    ca: [certificate.cert],
    ...more,
  });
  await once(secured, "secureConnect");
  return secured;
}

/** Send STARTTLS and go on over TLS. */
async function startTls(client: TestClient, port: number): Promise<TestClient> {
  assert.match(String(await client.command("STARTTLS")), /^OK Begin TLS/u);
  client.socket.removeAllListeners("data");
  return new TestClient(await over(client.socket, port));
}

test("STARTTLS begins a session that has nothing of the one before, without another greeting", async () => {
  const { client, port, store, recorded } = await started("starttls");
  const plain = await client();
  const [before] = await plain.command("CAPABILITY");
  assert.match(String(before), / STARTTLS /u);
  const secured = await startTls(plain, port);
  const [now] = await secured.command("CAPABILITY");
  assert.doesNotMatch(String(now), /STARTTLS|LOGINDISABLED/u);
  assert.match(String(now), /AUTH=PLAIN/u);
  assert.match(String(await secured.command("STARTTLS")), /^BAD TLS cannot be started here/u);
  assert.match(String((await secured.command(`LOGIN ${store.account.address} ${PASSWORD}`)).at(-1)), /^OK /u);
  assert.match(String(await secured.command("STARTTLS")), /^BAD Already logged in/u);
  assert.match(String((await secured.command("LOGOUT")).at(-1)), /^OK/u);
  assert.equal(await secured.rest(), "");
  await until(() => recorded.connections === 0);
});

test("what is pipelined behind STARTTLS is not executed, and the connection ends", async () => {
  const { client, store, recorded } = await started("starttls");
  for (const cut of [false, true]) {
    const plain = await client();
    const injected = `b LOGIN ${store.account.address} ${PASSWORD}\r\n`;
    plain.send(cut ? `a STARTTLS\r\n${injected.slice(0, 5)}` : `a STARTTLS\r\n${injected}`);
    const said = await plain.rest();
    assert.match(said, /^a BAD Pipelined behind STARTTLS\r\n\* BYE Nothing may be sent/u);
  }
  assert.ok(!recorded.commands.some(line => line.startsWith("login")), recorded.commands.join());
});

test("octets in the clear that come after the answer are taken for a handshake, and fail as one", async () => {
  const { client, store, server, recorded } = await started("starttls");
  const plain = await client();
  assert.match(String(await plain.command("STARTTLS")), /^OK /u);
  plain.send(`b LOGIN ${store.account.address} ${PASSWORD}\r\n`);
  assert.doesNotMatch(await plain.rest(), /b OK/u);
  await until(() => server.connections() === 0 && recorded.connections === 0);
  assert.ok(!recorded.commands.some(line => line.startsWith("login")));
});

test("from elsewhere a password is taken under TLS alone, and few may come from one network", async () => {
  const limits = { strangersPerNetwork: 2 };
  const { server, store, recorded } = await started("starttls", { limits });
  const listener = createServer(socket => {
    const fromElsewhere = Object.defineProperty(socket, "remoteAddress", { value: "192.0.2.7" });
    server.handleConnection(fromElsewhere, { kind: "client", tls: "starttls" });
  }).listen(0, "127.0.0.1");
  await once(listener, "listening");
  const { port } = listener.address() as AddressInfo;
  const clients = [new TestClient(port), new TestClient(port), new TestClient(port)] as const;
  const [first] = clients;
  const greetings = (await Promise.all(clients.map(client => client.line()))).sort();
  assert.equal(greetings[0], "* BYE [LIMIT] Too many connections from your network");
  assert.match(String(greetings[1]), /^\* OK \[CAPABILITY IMAP4rev1 LOGINDISABLED STARTTLS /u);
  await until(() => recorded.logs.some(line => line.startsWith("warn imap connections refused")));
  const credentials = `LOGIN ${store.account.address} ${PASSWORD}`;
  assert.match(String(await first.command(credentials)), /^NO \[PRIVACYREQUIRED\]/u);
  const secured = await startTls(first, port);
  assert.match(String((await secured.command(credentials)).at(-1)), /^OK /u);
  assert.equal(store.logins.at(-1)?.peer, "192.0.2.7");
  for (const client of clients) client.close();
  listener.close();
});

test("who logged in without TLS, as this host may, is not told of it any more", async () => {
  const { user } = await started("starttls");
  assert.doesNotMatch(String(await (await user()).command("CAPABILITY")), /STARTTLS/u);
});

test("without a certificate, and on Dovecot's listener, STARTTLS is neither offered nor taken", async () => {
  for (const options of [{ parts: () => ({}) }, { profile: { kind: "dovecot" } as const }]) {
    const { client } = await started("starttls", options);
    const plain = await client();
    assert.doesNotMatch(String(await plain.command("CAPABILITY")), /STARTTLS/u);
    assert.match(String(await plain.command("STARTTLS")), /^BAD TLS cannot be started here/u);
    assert.match(String((await plain.command("NOOP")).at(-1)), /^OK/u);
  }
});

test("a listener with TLS from the start greets inside, and takes TLS 1.2 and newer only", async () => {
  const { port } = await started("implicit");
  for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
    const secured = await over(undefined, port, { minVersion: version, maxVersion: version });
    const client = new TestClient(secured);
    assert.match(await client.line(), /^\* OK \[CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN /u);
    assert.equal(secured.getProtocol(), version);
    client.close();
  }
  const old = { minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" };
  await assert.rejects(over(undefined, port, old));
  await assert.rejects(
    over(undefined, port, { ALPNProtocols: ["h2", "http/1.1"] }),
    "a browser is turned away",
  );
  assert.equal((await over(undefined, port, { ALPNProtocols: ["imap"] })).alpnProtocol, "imap");
});

test("a client cannot renegotiate", async () => {
  const { port } = await started("implicit");
  const secured = await over(undefined, port, { maxVersion: "TLSv1.2" });
  const client = new TestClient(secured);
  await client.line();
  const outcome = await new Promise(resolve => {
    secured.once("error", resolve);
    secured.renegotiate({ rejectUnauthorized: false }, resolve);
  });
  assert.match(String(outcome), /no.renegotiation/iu);
});

test("a handshake that does not come to its end is given up, and holds no place after", async () => {
  const limits = { handshakeTimeoutMs: 50 };
  const { port, server, recorded } = await started("implicit", { limits });
  const half = connectPlain({ port, host: "127.0.0.1" });
  half.on("error", () => undefined);
  half.write(Buffer.from([22, 3, 1, 0, 200]));
  await once(half, "close");
  await until(() => server.connections() === 0 && recorded.connections === 0);
});

test("who leaves during its handshake, or is there when the server ends, leaves nothing behind", async () => {
  const { port, server, recorded } = await started("implicit", { limits: { handshakeTimeoutMs: 3_600_000 } });
  const [leaving, staying] = [
    connectPlain({ port, host: "127.0.0.1" }),
    connectPlain({ port, host: "127.0.0.1" }),
  ];
  for (const socket of [leaving, staying]) socket.on("error", () => undefined);
  await until(() => server.connections() === 2);
  leaving.end();
  await until(() => server.connections() === 1);
  await server.close();
  assert.deepEqual([server.connections(), recorded.connections], [0, 0]);
  staying.destroy();
});

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise(resolve => setImmediate(resolve));
}
