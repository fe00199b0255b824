/** What doctor says of the certificate for mail clients. */
import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { checkCertificate } from "../../../src/site/checks/tls-checks.ts";
import { makeCertificate } from "../../lib/certificate.ts";
import { loadText } from "../platform/config/temporary-files.ts";

const DAY_MS = 86_400_000;

test("doctor names a certificate that cannot be used, that ends soon, has ended, and a key that everybody may read", async t => {
  const folder = mkdtempSync(join(tmpdir(), "mr-doctor-tls-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const { path, keyPath } = makeCertificate(folder, "mail.test");
  const { config } = await loadText(t, `[tls]\ncert_file = "${path}"\nkey_file = "${keyPath}"`);
  const codes = async (now: number) =>
    (await checkCertificate(config, now)).map(({ severity, code }) => `${severity} ${code}`);
  chmodSync(keyPath, 0o640);
  assert.deepEqual(await codes(Date.now() - 30 * DAY_MS), []);
  assert.deepEqual(await codes(Date.now()), ["warning tls_certificate_ends"]);
  chmodSync(keyPath, 0o604);
  assert.deepEqual(await codes(Date.now() + 3 * DAY_MS), [
    "error tls_key_mode",
    "error tls_certificate_ends",
  ]);
  chmodSync(keyPath, 0o600);
  writeFileSync(keyPath, "no key");
  assert.deepEqual(await codes(Date.now()), ["error tls_certificate_unusable"]);
  assert.deepEqual(await checkCertificate((await loadText(t, "")).config, Date.now()), []);
});
