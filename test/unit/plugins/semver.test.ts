import assert from "node:assert/strict";
import { test } from "node:test";
import { compareVersions, isAtMost, parseDependency, satisfies } from "../../../src/plugins/semver.ts";

test("versions are ordered as semver 2.0.0 §11 lists them", () => {
  const ordered = [
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.beta",
    "1.0.0-beta",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0-rc.1",
    "1.0.0",
    "1.0.10",
    "1.2.0",
    "2.0.0",
  ];
  for (const [i, version] of ordered.entries()) {
    for (const [j, other] of ordered.entries())
      assert.equal(Math.sign(compareVersions(version, other)), Math.sign(i - j), `${version} ${other}`);
  }
  assert.equal(compareVersions("1.0.0+a", "1.0.0+b"), 0);
  assert.throws(() => compareVersions("1.0", "1.0.0"), { code: "plugin_validation" });
});

test("a ceiling with x covers all of it and what is older", () => {
  for (const [version, ceiling, expected] of [
    ["0.5.99", "0.5.x", true],
    ["0.6.0", "0.5.x", false],
    ["0.4.9", "0.5.x", true],
    ["1.99.0", "1.x", true],
    ["2.0.0", "1.x", false],
    ["0.5.2", "0.5.2", true],
    ["0.5.3", "0.5.2", false],
  ] as const) {
    assert.equal(isAtMost(version, ceiling), expected, `${version} ${ceiling}`);
  }
});

test("all comparisons of a dependency must hold", () => {
  const dependency = parseDependency("other.plugin.id >= 1.2.0, <2.0.0");
  assert.equal(dependency.id, "other.plugin.id");
  assert.deepEqual(
    ["1.1.9", "1.2.0", "1.9.0", "2.0.0"].map(version => satisfies(version, dependency)),
    [false, true, true, false],
  );
  assert.ok(satisfies("0.0.1", parseDependency("other.plugin.id")));
});
