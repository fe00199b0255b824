/** Setting stages where a file has a say, over a record that stands still. The rest: test/contract/api/stages.test.ts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { StageRecord } from "../../../src/core/ports/stages.ts";
import { fileKeyOf } from "../../../src/services/domain-file.ts";
import type { ServicePorts } from "../../../src/services/ports.ts";
import { getStage, setStage } from "../../../src/services/stages.ts";

const RECORD: StageRecord = {
  ...{
    kind: "domain",
    scope: "a.test",
    domain: "a.test",
    stage: "hooks",
    own: undefined,
    domainStage: "hooks",
  },
  ...{
    relayLmtp: "unix:/l",
    relayByFile: true,
    version: 3,
    since: new Date(0),
    by: "",
    accounts: 0,
    accountsApart: 0,
  },
};
const KEYS = [
  { key: 'domains."b.test".stage', value: '"store"', origin: "other.toml:1" },
  { key: 'domains."a.test".accounts', value: '"listed"', origin: "default" },
  { key: 'domains."a.test".stage', value: '"observe"', origin: "mairust.toml:7" },
  { key: 'domains."a.test".relay.lmtp', value: '"unix:/l"', origin: "mairust.toml:8" },
  { key: "lmtp.chain_timeout_ms", value: "30000", origin: "default" },
];

/** What these use cases ask; anything else would be undefined, and fail. */
function ports(probe: () => Promise<string> = async () => "220 hop") {
  const done: string[] = [];
  const made = {
    stages: {
      get: async () => RECORD,
      verifyGaps: async () => [],
      async set() {
        done.push("set");
        return RECORD;
      },
    },
    nextHops: { probe },
    system: { config: () => KEYS },
    audit: { record: async () => void done.push("audit") },
    log: { info: () => undefined, warn: () => undefined },
    // What a change of stage uses of the ports.
  } as unknown as ServicePorts;
  return { made, done };
}

const DOMAIN = { kind: "domain", scope: "a.test" } as const;
const KEEP = { dryRun: false, who: "local:taro" };
const asked = { stage: "hooks", withoutVerify: false, force: false } as const;

test("a view names where a file sets the first stage and the next hop", async () => {
  const view = await getStage(ports().made, DOMAIN);
  assert.deepEqual(view.initial, { stage: "observe", origin: "mairust.toml:7" });
  assert.equal(view.relayOrigin, "mairust.toml:8");
  assert.equal(view.settledAt.getTime(), 35_000);
});

test("keys of a file belong to the domain whose whole name they have", () => {
  const { made } = ports();
  assert.equal(fileKeyOf(made, "a.test")?.origin, "mairust.toml:7", "a set one before a default");
  assert.equal(fileKeyOf(made, "test"), undefined);
  assert.equal(fileKeyOf(made, "b.test", "relay.lmtp"), undefined);
});

test("a next hop that a file sets is locked, and the text says where it is; its stage is not", async () => {
  const { made, done } = ports();
  const other = setStage(made, DOMAIN, { ...asked, relayLmtp: "unix:/other", force: true }, 3, KEEP);
  await assert.rejects(other, (error: Error & { code?: string; publicText?: string }) => {
    assert.deepEqual(
      [error.code, /set in mairust\.toml:8/u.test(error.publicText ?? "")],
      ["not_permitted", true],
    );
    return true;
  });
  await setStage(made, DOMAIN, { ...asked, relayLmtp: "unix:/l" }, 3, KEEP);
  assert.deepEqual(done, [], "the same as it is");
  await setStage(made, DOMAIN, { ...asked, stage: "mirror" }, 3, KEEP);
  assert.deepEqual(done, ["audit", "set"], "recorded first");
});

test("who saw an older version is told so before anybody else is asked", async () => {
  const { made, done } = ports(() => assert.fail("the next hop was asked"));
  await assert.rejects(setStage(made, DOMAIN, { ...asked, stage: "mirror" }, 2, KEEP), {
    code: "invalid_state",
  });
  assert.deepEqual(done, []);
});

test("a domain is no account, and an account no domain", async () => {
  const { made } = ports();
  await assert.rejects(getStage(made, { kind: "domain", scope: "x@a.test" }), { code: "invalid_argument" });
  await assert.rejects(getStage(made, { kind: "account", scope: "a.test" }), { code: "invalid_argument" });
});
