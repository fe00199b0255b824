/** URLs that a manifest brings along stay within the network that it asks for. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseManifest } from "../../../src/plugins/manifest.ts";

const manifest = (url: string, network: string, allow: readonly string[]) => `
id = "com.example.filter"
name = "Filter"
version = "1.0.0"
[entry]
type = "hook"
protocol = "script"
command = ["sh"]
[hooks]
on = ["post_receive"]
[limits]
network = "${network}"
${allow.length === 0 ? "" : `network_allow = ${JSON.stringify(allow)}`}
[settings.server]
type = "url"
default = "${url}"
`;

const problem = async (url: string, network: string, ...allow: readonly string[]) =>
  parseManifest(manifest(url, network, allow), "plugin.toml").then(
    () => undefined,
    (error: Error) => error.message,
  );

test("a default URL within network_allow is taken, by name, port and wildcard", async () => {
  const good: readonly (readonly [url: string, allow: string])[] = [
    ["https://api.example.com/v1", "api.example.com:443"],
    ["https://API.example.com/v1", "Api.Example.com:443"],
    ["http://api.example.com/v1", "api.example.com:80"],
    ["https://eu.api.example.com", "*.example.com:443"],
  ];
  for (const [url, allow] of good)
    assert.equal(await problem(url, "outbound-limited", allow), undefined, url);
  assert.equal(await problem("http://127.0.0.1:11333", "local-only", "127.0.0.1:11333"), undefined);
});

test("a default URL that leads elsewhere is refused with its line", async () => {
  const bad: readonly (readonly [url: string, allow: string])[] = [
    ["https://evil.example.net/", "api.example.com:443"],
    ["http://api.example.com/", "api.example.com:443"],
    ["https://api.example.com:8443/", "api.example.com:443"],
    ["https://example.com/", "*.example.com:443"],
    ["https://evilexample.com/", "*.example.com:443"],
    ["https://api.example.com@evil.example.net/", "api.example.com:443"],
  ];
  for (const [url, allow] of bad)
    assert.match(
      (await problem(url, "outbound-limited", allow)) ?? "",
      /:16: settings\.server\.default: .*network_allow/,
      url,
    );
});

test("where nothing is limited, or nothing is reached, a default URL is nobody's concern", async () => {
  assert.equal(await problem("https://example.net/", "unlimited"), undefined);
  assert.equal(await problem("https://example.net/", "none"), undefined);
});
