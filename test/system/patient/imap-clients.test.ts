/** The real service with `imap.client_listen`: TLS both ways, a certificate that is replaced, strangers that cannot keep Dovecot out, a crowd in IDLE. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdirSync } from "node:fs";
import { connect as connectPlain, type Socket } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { connect, type TLSSocket } from "node:tls";
import { freePort, makeScratch } from "../../../src/mailhost/scratch.ts";
import { makeCertificate } from "../../lib/certificate.ts";
import { ImapTestClient } from "../../lib/imap-client.ts";
import { imapCrowd } from "../../lib/imap-crowd.ts";
import { metricsText } from "../../lib/service-metrics.ts";
import { type Sidecar, startSidecar } from "../../lib/sidecar.ts";

const USER = "taro@example.test";
const PASSWORD = "pass word";
const CONNECTIONS = 120;
/** What hangs is to end. */
const OPENSSL_MS = 60_000;

let scratch: Awaited<ReturnType<typeof makeScratch>>;
let sidecar: Sidecar;
let ports: { readonly tls: number; readonly plain: number };
const open: Socket[] = [];

before(async () => {
  scratch = await makeScratch();
  ports = { tls: await freePort(), plain: await freePort() };
  install("one");
  const files = ["cert", "key"].map(name => `${name}_file = "${join(scratch.dir, `${name}.pem`)}"`);
  sidecar = await startSidecar({
    dir: join(scratch.dir, "s"),
    imap: `connections = ${CONNECTIONS}\nconnections_per_user = ${CONNECTIONS}\nclient_listen = ["tls:127.0.0.1:${ports.tls}", "inet:127.0.0.1:${ports.plain}"]`,
    toml: `[tls]\n${files.join("\n")}`,
  });
  for (const [args, input] of [
    [["account", "add", USER], undefined],
    [["account", "passwd", USER], PASSWORD],
  ] as const)
    assert.equal((await sidecar.mairust(args, input)).code, 0);
});
after(async () => {
  for (const socket of open) socket.destroy();
  await sidecar?.stop();
  await scratch?.remove();
});

/** Put a certificate of this name where the service reads its own. */
function install(name: string): void {
  const folder = join(scratch.dir, name);
  mkdirSync(folder);
  const { path, keyPath } = makeCertificate(folder, name);
  copyFileSync(path, join(scratch.dir, "cert.pem"));
  copyFileSync(keyPath, join(scratch.dir, "key.pem"));
}

async function secured(): Promise<TLSSocket> {
  const socket = connect({ port: ports.tls, host: "127.0.0.1", rejectUnauthorized: false });
  open.push(socket);
  await once(socket, "secureConnect");
  return socket;
}

async function loggedIn(client: ImapTestClient): Promise<ImapTestClient> {
  assert.match(await client.line(), /^\* OK /u);
  assert.match(String((await client.command(`LOGIN ${USER} "${PASSWORD}"`)).at(-1)), /^OK /u);
  return client;
}

const lastOf = async (client: ImapTestClient, command: string) =>
  String((await client.command(command)).at(-1));

test("openssl begins TLS by STARTTLS and has a session", () => {
  const args = ["s_client", "-connect", `127.0.0.1:${ports.plain}`, "-starttls", "imap", "-crlf", "-ign_eof"];
  const said = execFileSync("openssl", args, {
    input: "a NOOP\nb LOGOUT\n",
    stdio: ["pipe", "pipe", "ignore"],
    encoding: "latin1",
    timeout: OPENSSL_MS,
  });
  assert.match(said, /a OK NOOP completed\r\n\* BYE [^\r]*\r\nb OK/u);
});

test("a certificate that is replaced is used for new connections, and sessions go on", async () => {
  const first = await secured();
  const client = await loggedIn(new ImapTestClient(first));
  assert.match(await lastOf(client, "SELECT INBOX"), /^OK/u);
  assert.equal(first.getPeerCertificate().subject.CN, "one");
  install("two");
  assert.equal((await sidecar.mairust(["reload"])).code, 0);
  assert.equal((await secured()).getPeerCertificate().subject.CN, "two");
  assert.match(await lastOf(client, "NOOP"), /^OK/u);
  copyFileSync(join(scratch.dir, "one", "cert.pem"), join(scratch.dir, "cert.pem"));
  const broken = await sidecar.mairust(["reload"]);
  assert.notEqual(broken.code, 0);
  assert.match(broken.stderr, /\[tls\]: Cannot use certificate/u);
  assert.equal((await secured()).getPeerCertificate().subject.CN, "two");
  copyFileSync(join(scratch.dir, "two", "cert.pem"), join(scratch.dir, "cert.pem"));
  client.close();
});

test("however many strangers come to client_listen, Dovecot logs in", async () => {
  const strangers = Array.from({ length: CONNECTIONS * 2 }, (_, i) => {
    const socket = connectPlain(i % 2 === 0 ? ports.plain : ports.tls, "127.0.0.1");
    socket.on("error", () => undefined);
    open.push(socket);
    return socket;
  });
  const said = await Promise.all(
    strangers.filter((_, i) => i % 2 === 0).map(async socket => String((await once(socket, "data"))[0])),
  );
  const refused = said.filter(line => line.startsWith("* BYE [LIMIT] Too many connections"));
  assert.ok(refused.length >= CONNECTIONS / 2, `${refused.length} refused`);
  for (let i = 0; i < CONNECTIONS / 2; i++) {
    const dovecot = new ImapTestClient(sidecar.imapPort);
    open.push(dovecot.socket);
    assert.match(await dovecot.line(), /^\* OK /u, `connection ${i}`);
  }
  const counted = (await metricsText(sidecar.apiSocket)).match(
    /^mairust_imap_refused_connections_total\{listener="client",reason="strangers"\} (\d+)/mu,
  );
  assert.ok(Number(counted?.[1]) >= refused.length);
  for (const socket of open) socket.destroy();
});

test("every session in IDLE is told of every message, while others read", async () => {
  const crowd = await imapCrowd({
    imap: { port: ports.tls, tls: true },
    lmtpPort: sidecar.lmtpPort,
    login: { user: "dovecot", password: sidecar.masterPassword },
    address: USER,
    ...{ idle: 25, reading: 5, deliveries: 20, pauseMs: 20 },
    memory: async () => 0,
  });
  assert.deepEqual([crowd.delivered, crowd.told, crowd.missed], [20, 25 * 20, 0]);
});
