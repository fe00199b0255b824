/** What a manifest says of networks, points, other plugins, endpoints and times, against what makes sense there. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { MINIMAL, problems } from "./manifest-problems.ts";

const withMore = (more: string) => problems(`${MINIMAL}${more}\n`);

test("network_allow must be something that the network mode can let through", async () => {
  const allow = (network: string, entry: string) =>
    withMore(`[limits]\nnetwork = "${network}"\nnetwork_allow = ["${entry}"]`);
  for (const good of ["127.0.0.1:11333", "localhost:80", "[::1]:8080"])
    assert.deepEqual(await allow("local-only", good), [], good);
  for (const good of ["api.example.com:443", "*.example.com:80", "192.0.2.1:443", "[2001:db8::1]:443"])
    for (const network of ["outbound-limited", "unlimited"])
      assert.deepEqual(await allow(network, good), [], `${network} ${good}`);
  for (const bad of ["127.0.0.1:0", "127.0.0.1:65536", "10.0.0.1:80", "example.com:80", "127.0.0.1:25"])
    assert.deepEqual(await allow("local-only", bad), ["12 limits.network_allow[0]"], bad);
  for (const bad of ["api.example.com:25", "*.192.0.2.1:443", "a.com.:443", "::1:443"])
    assert.deepEqual(await allow("outbound-limited", bad), ["12 limits.network_allow[0]"], bad);
  assert.deepEqual(await allow("none", "a.example:443"), ["12 limits.network_allow"]);
  assert.deepEqual(await withMore('[limits]\nnetwork_allow = ["a.example:443"]'), [
    "11 limits.network_allow",
  ]);
  assert.deepEqual(await withMore('[limits]\nnetwork = "outbound-limited"'), []);
});

test("points, dependencies and keys of another protocol are refused where they make no sense", async () => {
  assert.deepEqual(
    await problems(MINIMAL.replace('["pre_delivery"]', '["pre_delivery", "post_receive", "pre_delivery"]')),
    ["9 hooks.on[2]"],
  );
  const depending = (on: string) => problems(`depends = ${on}\n${MINIMAL}`);
  assert.deepEqual(await depending('["com.example.b>=1.0.0", "com.example.c"]'), []);
  assert.deepEqual(await depending('["com.example.a"]'), ["1 depends[0]"]);
  assert.deepEqual(await depending('["com.example.b", "com.example.b>=1.0.0"]'), ["1 depends[1]"]);
  const endpoint = MINIMAL.replace('command = ["a"]', 'command = ["a"]\nendpoint = "http://localhost/"');
  assert.deepEqual(await problems(endpoint), ["8 entry.endpoint"]);
  const ui = MINIMAL.replace('"hook"', '"ui"')
    .replace('protocol = "script"\n', "")
    .replace('command = ["a"]\n', "");
  assert.deepEqual(await problems(`${ui}[ui]\nbundle = "ui/index.html"\n`), ["6 hooks"]);
  assert.deepEqual(await withMore('[api]\nendpoint = "localhost:8081"'), ["11 api.endpoint"]);
  assert.deepEqual(await withMore('[api]\nendpoint = "unix:///run/a.sock:/api"'), []);
});

test("a schedule is five fields of crontab(5)", async () => {
  const schedule = (text: string) => withMore(`[jobs.a]\ntitle = "A"\nschedule = "${text}"`);
  for (const good of ["0 6 1 * *", "*/5 0-23/2 1,15 1-12 7"])
    assert.deepEqual(await schedule(good), [], good);
  for (const bad of [
    "60 6 1 * *",
    "0 24 * * *",
    "0 6 0 * *",
    "0 6 1 13 *",
    "0 6 1 * 8",
    "0 6 1 * mon",
    "*/0 * * * *",
    "5-3 * * * *",
  ])
    assert.deepEqual(await schedule(bad), ["12 jobs.a.schedule"], bad);
});
