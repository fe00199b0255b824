import assert from "node:assert/strict";
import { test } from "node:test";
import { checkFormat } from "../../../src/platform/config/formats.ts";
import { healthSpec, httpTarget, parseEndpoint } from "../../../src/plugins/endpoint.ts";
import type { Manifest } from "../../../src/wire/manifest.ts";

const FOLDER = "/plugins/a";
const http = (entry: Partial<Manifest["entry"]> = {}): Manifest["entry"] => ({
  type: "hook",
  protocol: "http",
  endpoint: "http://localhost:8081/hook",
  ...entry,
});
const shown = (target: ReturnType<typeof httpTarget>) =>
  target && [target.endpoint.href, target.socketPath, target.approved];

test("endpoints: URLs, and UNIX sockets with and without a path of the request", () => {
  const read = (text: string) => {
    const found = parseEndpoint(text);
    return found && [found.endpoint.href, found.socketPath];
  };
  assert.deepEqual(read("https://plugin.example/hook?x=1"), ["https://plugin.example/hook?x=1", undefined]);
  assert.deepEqual(read("unix:///run/a.sock"), ["http://localhost/", "/run/a.sock"]);
  assert.deepEqual(read("unix:///run/a.sock:/hook?x=1"), ["http://localhost/hook?x=1", "/run/a.sock"]);
});

for (const bad of [
  "",
  "x",
  "ftp://a/",
  "unix://",
  "unix://run/a.sock",
  "unix:///run/a.sock:hook",
  "http://u@a/",
  "http://u:p@a/",
  "file:///etc/passwd",
]) {
  test(`"${bad}" is no endpoint, neither of a manifest nor of the configuration`, () => {
    assert.equal(parseEndpoint(bad), undefined);
    assert.notEqual(checkFormat("plugin_endpoint", bad), undefined);
  });
}

test("what the administrator names is called instead, and is approved", () => {
  assert.deepEqual(shown(httpTarget(http(), undefined)), ["http://localhost:8081/hook", undefined, false]);
  assert.deepEqual(shown(httpTarget(http(), "http://10.0.0.5:9/h")), [
    "http://10.0.0.5:9/h",
    undefined,
    true,
  ]);
  assert.deepEqual(shown(httpTarget(http(), "unix:///run/a.sock")), [
    "http://localhost/",
    "/run/a.sock",
    true,
  ]);
  assert.equal(httpTarget({ type: "hook", protocol: "script", command: ["a"] }, undefined), undefined);
});

test("a health endpoint on the same server moves along with the endpoint, another one stays and is not approved", () => {
  const own = http({ health_endpoint: "http://localhost:8081/health?x=1" });
  const asked = (entry: Manifest["entry"], approved?: string) => {
    const health = healthSpec(entry, approved, FOLDER);
    return health?.kind === "endpoint" ? shown(health) : health;
  };
  assert.deepEqual(asked(own), ["http://localhost:8081/health?x=1", undefined, false]);
  assert.deepEqual(asked(own, "http://10.0.0.5:9/h"), ["http://10.0.0.5:9/health?x=1", undefined, true]);
  assert.deepEqual(asked(own, "unix:///run/a.sock:/h"), ["http://localhost/health?x=1", "/run/a.sock", true]);
  const other = http({ health_endpoint: "http://10.0.0.6/health" });
  assert.deepEqual(asked(other, "http://10.0.0.5:9/h"), ["http://10.0.0.6/health", undefined, false]);
  const socket = http({
    protocol: "unix",
    endpoint: "unix:///run/a.sock:/hook",
    health_endpoint: "unix:///run/a.sock:/health",
  });
  assert.deepEqual(asked(socket), ["http://localhost/health", "/run/a.sock", false]);
  const script: Manifest["entry"] = {
    type: "hook",
    protocol: "script",
    command: ["a"],
    health_endpoint: "http://localhost/h",
  };
  assert.deepEqual(asked(script), ["http://localhost/h", undefined, false]);
});

test("health_cmd is a list of words, or a line for the shell", () => {
  const of = (command: string | string[]) => healthSpec(http({ health_cmd: command }), undefined, FOLDER);
  assert.deepEqual(of(["curl", "-f", "x"]), {
    kind: "command",
    command: ["curl", "-f", "x"],
    folder: FOLDER,
  });
  assert.deepEqual(of("curl -f x"), {
    kind: "command",
    command: ["/bin/sh", "-c", "curl -f x"],
    folder: FOLDER,
  });
  assert.equal(healthSpec(http(), undefined, FOLDER), undefined);
});
