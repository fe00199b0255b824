/** The certificate of the listeners: put in use, read again when it changed, and never given up for one that is worse. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { connect, type TLSSocket } from "node:tls";
import { MairustError } from "../../../src/core/errors.ts";
import type { Log } from "../../../src/core/ports/log.ts";
import { ServerTls } from "../../../src/platform/tls-server.ts";
import { type Certificate, makeCertificate } from "../../lib/certificate.ts";

const ONE_HOUR_MS = 3_600_000;

function lines(into: string[]): Log {
  const line = (level: string) => (event: string) => void into.push(`${level} ${event}`);
  const log: Log = {
    ...{ debug: line("debug"), info: line("info"), warn: line("warn"), error: line("error") },
    child: () => log,
  };
  return log;
}

function setUp(t: TestContext, lookMs = ONE_HOUR_MS) {
  const folder = mkdtempSync(join(tmpdir(), "mr-tls-"));
  const logged: string[] = [];
  const tls = new ServerTls(lines(logged), "imap", lookMs);
  t.after(() => {
    tls.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  const made = (name: string): Certificate => {
    mkdirSync(join(folder, name));
    return makeCertificate(join(folder, name), name);
  };
  const files = { cert_file: join(folder, "cert.pem"), key_file: join(folder, "key.pem") };
  const install = ({ path, keyPath }: Certificate) => {
    copyFileSync(path, files.cert_file);
    copyFileSync(keyPath, files.key_file);
  };
  return { folder, logged, tls, made, files, install };
}

/** A server that says what it is sent again, and how to reach it. */
async function echo(t: TestContext, tls: ServerTls) {
  const server = createServer(socket => {
    tls.upgrade(socket, ONE_HOUR_MS).then(
      secured => secured.on("error", () => undefined).pipe(secured),
      () => undefined,
    );
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const open: Socket[] = [];
  t.after(() => {
    for (const socket of open) socket.destroy();
    server.close();
  });
  return async (): Promise<TLSSocket> => {
    const socket = connect({
      port: (server.address() as AddressInfo).port,
      host: "127.0.0.1",
      rejectUnauthorized: false,
    });
    open.push(socket);
    await once(socket, "secureConnect");
    return socket;
  };
}

const nameOf = (socket: TLSSocket) => socket.getPeerCertificate().subject.CN;

test("new connections get a certificate that replaced the one before, those that are there go on", async t => {
  const { tls, made, files, install } = setUp(t, 5);
  install(made("one"));
  assert.equal(tls.available, false);
  (await tls.prepare(files))();
  assert.equal(tls.available, true);
  const dial = await echo(t, tls);
  const first = await dial();
  assert.equal(nameOf(first), "one");
  install(made("two"));
  for (let name = ""; name !== "two"; ) name = String(nameOf(await dial()));
  first.write("still here");
  assert.equal(String((await once(first, "data"))[0]), "still here");
});

test("files that cannot be used are told once and change nothing; half of a new pair is such", async t => {
  const { tls, made, files, install, logged } = setUp(t);
  install(made("one"));
  (await tls.prepare(files))();
  const dial = await echo(t, tls);
  logged.length = 0;
  const two = made("two");
  copyFileSync(two.path, files.cert_file);
  for (let i = 0; i < 3; i++) await tls.look();
  rmSync(files.key_file);
  for (let i = 0; i < 3; i++) await tls.look();
  writeFileSync(files.key_file, Buffer.alloc(300_000));
  for (let i = 0; i < 3; i++) await tls.look();
  assert.deepEqual(logged, Array(3).fill("error certificate not read again, the one before stays"));
  assert.equal(nameOf(await dial()), "one");
  install(two);
  await tls.look();
  assert.equal(nameOf(await dial()), "two");
});

test("what cannot be used is refused where it is to be put in use, by key and file", async t => {
  const { tls, made, files, install, folder } = setUp(t);
  const refused = (text: RegExp) => (error: unknown) =>
    error instanceof MairustError && error.code === "config_invalid" && text.test(error.message);
  await assert.rejects(tls.prepare(files), refused(/^tls\.cert_file: Cannot read ".*cert\.pem": ENOENT/u));
  install(made("one"));
  await assert.rejects(
    tls.prepare({ ...files, key_file: folder }),
    refused(/^tls\.key_file: Cannot read .*EISDIR/u),
  );
  writeFileSync(files.cert_file, "no certificate");
  await assert.rejects(
    tls.prepare(files),
    refused(/^\[tls\]: Cannot use certificate ".*cert\.pem" with key/u),
  );
  (await tls.prepare({ cert_file: "", key_file: "" }))();
  assert.equal(tls.available, false);
});
