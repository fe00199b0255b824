/** DKIM keys of a domain by command: made, taken from a file, shown for DNS, looked up there, removed, sealed and audited. */
import assert from "node:assert/strict";
import { createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { DkimKeyBody } from "../../../src/wire/api/dkim.ts";
import { DnsServer } from "../../lib/dns-server.ts";
import { command } from "./command.ts";
import { type RunningService, startService } from "./service.ts";

let running: RunningService;
let dns: DnsServer;
before(async () => {
  dns = await DnsServer.start({});
  running = await startService([`sender_auth.resolver=["${dns.address}"]`]);
});
after(async () => {
  await running?.stop();
  await dns?.stop();
});

const run = (...args: readonly string[]) => command(running.site.configFile, args, { columns: 160 });

const keys = async () => {
  const { body } = await running.ask("GET", "/api/v1/domains/example.test/dkim");
  return body.items as readonly DkimKeyBody[];
};

test("a key is made and printed for DNS; check looks there", async () => {
  const added = await run("dkim", "add", "example.test", "--selector", "one", "-f", "table");
  assert.equal(added.code, 0, added.err);
  assert.match(
    added.out,
    /^one\._domainkey\.example\.test\. IN TXT \( "v=DKIM1; k=rsa; p=[^"]+" "[^"]+" \)\n$/u,
  );
  const [key] = await keys();
  assert.equal(
    added.out
      .match(/"[^"]*"/gu)
      ?.map(text => text.slice(1, -1))
      .join(""),
    key?.dns_value,
  );
  assert.match((await run("dkim", "check", "example.test")).out, /absent/u);
  dns.zone = { "one._domainkey.example.test": { TXT: [key?.dns_value ?? ""] } };
  const good = await run("dkim", "check", "example.test");
  assert.deepEqual([good.code, /published/u.test(good.out)], [0, true]);
  dns.zone = { "one._domainkey.example.test": { TXT: ["v=DKIM1; p=AAAA"] } };
  const other = await run("dkim", "check", "EXAMPLE.test");
  assert.deepEqual([other.code, /differs/u.test(other.out)], [1, true]);
});

test("a key of one's own is taken as it is; a weak one, a text that is none, and a selector twice are refused", async () => {
  const file = async (name: string, text: string) => {
    const path = join(running.site.dir, name);
    await writeFile(path, text);
    return path;
  };
  const pem = (pair: { readonly privateKey: KeyObject }) =>
    pair.privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  const own = pem(generateKeyPairSync("ed25519"));
  const path = await file("own.pem", own);
  assert.equal((await run("dkim", "add", "example.test", "--selector", "own", "--key-file", path)).code, 0);
  const spki = createPublicKey(own).export({ type: "spki", format: "der" });
  const found = (await keys()).find(({ selector }) => selector === "own");
  assert.equal(found?.dns_value, `v=DKIM1; k=ed25519; p=${spki.subarray(12).toString("base64")}`);
  const weak = await file("weak.pem", pem(generateKeyPairSync("rsa", { modulusLength: 1024 })));
  assert.match(
    (await run("dkim", "add", "example.test", "--selector", "x", "--key-file", weak)).err,
    /1024 bits/u,
  );
  const none = await file("none.pem", "SECRET-CANARY");
  const refused = await run("dkim", "add", "example.test", "--selector", "x", "--key-file", none);
  assert.ok(refused.code !== 0 && !refused.err.includes("CANARY"), refused.err);
  assert.match((await run("dkim", "add", "example.test", "--selector", "own")).err, /already/u);
  assert.notEqual((await run("dkim", "add", "nobody.test")).code, 0);
  assert.equal((await run("dkim", "add", "example.test", "--selector", "-x")).code !== 0, true);
});

test("no private key leaves by the API or stands in the clear; changes are audited; a key is removed", async () => {
  const db = await running.database();
  const rows = await db.query<{ sealed: Buffer; key_id: string }>`select sealed, key_id from dkim_keys`;
  assert.ok(rows.length >= 2 && rows.every(({ sealed }) => !sealed.includes("PRIVATE")));
  const { bytes } = await running.ask("GET", "/api/v1/domains/example.test/dkim");
  assert.ok(!/private|sealed/iu.test(bytes.toString()));
  assert.equal((await run("key", "rotate", "--yes", "-f", "json")).code, 0);
  const dry = await run("dkim", "rm", "example.test", "--selector", "own", "--dry-run");
  assert.deepEqual([dry.code, (await keys()).length], [0, rows.length]);
  assert.equal((await run("dkim", "rm", "example.test", "--selector", "own", "--yes")).code, 0);
  assert.equal((await run("dkim", "rm", "example.test", "--selector", "own", "--yes")).code, 66);
  assert.equal((await keys()).length, rows.length - 1);
  const [row] = await db.query<{ key_id: string }>`select key_id from dkim_keys`;
  assert.notEqual(row?.key_id, rows[0]?.key_id);
  const audit = (await run("audit", "-f", "json")).out;
  for (const action of ["dkim.add", "dkim.remove"]) assert.ok(audit.includes(action), action);
  assert.ok(!audit.includes("PRIVATE"));
});
