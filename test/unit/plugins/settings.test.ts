import assert from "node:assert/strict";
import { test } from "node:test";
import { declarationFindings, resolveSettings } from "../../../src/plugins/settings.ts";
import type { Manifest } from "../../../src/wire/manifest.ts";

const settings: Manifest["settings"] = { url: { type: "url", default: "https://api.example.com/v1" } };
const limited = (...allow: string[]): NonNullable<Manifest["limits"]> => ({
  network: "outbound-limited",
  network_allow: allow,
});
const problems = (url: string, limits: Manifest["limits"]) =>
  resolveSettings(settings, { url }, limits).findings.length;

test("a URL names a host that the plugin may reach, by name and port", () => {
  const limits = limited("api.example.com:443", "*.example.org:80");
  assert.equal(problems("https://API.example.com/x", limits), 0);
  assert.equal(problems("http://a.b.example.org/", limits), 0);
  for (const url of [
    "http://api.example.com/",
    "https://api.example.com:8443/",
    "https://api.example.com.evil.example/",
    "https://example.org/",
    "https://user@evil.example/#api.example.com:443",
  ])
    assert.equal(problems(url, limits), 1, url);
});

test("a URL is compared with a list only where there is one", () => {
  assert.equal(problems("https://elsewhere.example/", undefined), 0);
  assert.equal(problems("https://elsewhere.example/", { network: "unlimited" }), 0);
  assert.equal(problems("https://elsewhere.example/", { network: "local-only" }), 1);
});

test("a default that points elsewhere is an error of the manifest", () => {
  const findings = (host: string) =>
    declarationFindings({ settings: settings ?? {}, limits: limited(host) ?? {} });
  assert.deepEqual(findings("api.example.com:443"), []);
  const [finding] = findings("other.example:443");
  assert.deepEqual(finding?.path, ["settings", "url", "default"]);
  assert.match(finding?.allowed ?? "", /network_allow: other\.example:443/u);
});
