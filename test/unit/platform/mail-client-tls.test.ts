import assert from "node:assert/strict";
import { test } from "node:test";
import { certificateProblem, clientTls } from "../../../src/platform/mail-client-tls.ts";

const there = (host: string, secure = false, verifyCertificate = true) =>
  clientTls({ host, secure, verifyCertificate });

test("clientTls() asks for STARTTLS at every other host, and trusts what this host runs", () => {
  for (const host of [
    "old.example.com",
    "192.0.2.1",
    "0.0.0.0",
    "::",
    "127.example.com",
    "localhost.example.com",
  ])
    assert.deepEqual(
      there(host),
      { secure: false, doSTARTTLS: true, tls: { rejectUnauthorized: true } },
      host,
    );
  for (const host of ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
    assert.deepEqual(there(host), { secure: false, tls: { rejectUnauthorized: false } }, host);
});

test("clientTls() looks at a certificate wherever TLS was asked for, unless told not to", () => {
  for (const host of ["old.example.com", "127.0.0.1"]) {
    assert.deepEqual(there(host, true), { secure: true, tls: { rejectUnauthorized: true } }, host);
    assert.deepEqual(there(host, true, false), { secure: true, tls: { rejectUnauthorized: false } }, host);
  }
  assert.deepEqual(there("old.example.com", false, false).tls, { rejectUnauthorized: false });
});

test("certificateProblem() tells a certificate from every other reason that there is no connection", () => {
  const of = (code: string) =>
    certificateProblem(Object.assign(new Error("as it says; try --use-system-ca"), { code }));
  for (const code of [
    "CERT_HAS_EXPIRED",
    "CERT_REVOKED",
    "DEPTH_ZERO_SELF_SIGNED_CERT",
    "ERR_TLS_CERT_ALTNAME_INVALID",
    "SELF_SIGNED_CERT_IN_CHAIN",
    "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
    "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  ])
    assert.match(of(code) ?? "", /^its certificate is not trusted \(as it says\)/u, code);
  for (const code of [
    "ECONNREFUSED",
    "ENOTFOUND",
    "ERR_SSL_WRONG_VERSION_NUMBER",
    "ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED",
    "STARTTLS_INJECTION",
  ])
    assert.equal(of(code), undefined, code);
  assert.equal(certificateProblem(new Error("no code")), undefined);
});
