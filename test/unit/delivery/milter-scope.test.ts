/** For whom hooks at the milter count, by the stage of each account; a directory that counts what it is asked. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type MailAddress, parseMailAddress } from "../../../src/core/envelope.ts";
import { accountId } from "../../../src/core/ids.ts";
import type { Domain, KnownDirectory, Stage } from "../../../src/core/ports/directory.ts";
import type { MilterEnvelope } from "../../../src/core/ports/milter.ts";
import { hasOurs, scopeOf } from "../../../src/delivery/milter-scope.ts";

const DOMAINS: Readonly<Record<string, readonly [Stage, boolean]>> = {
  "observe.test": ["observe", false],
  "pilot.test": ["observe", true],
  "hooks.test": ["hooks", false],
};
/** Accounts with a stage of their own, by all their addresses. */
const OWN: Readonly<Record<string, Stage>> = {
  "ann@pilot.test": "mirror",
  "ann+x@pilot.test": "mirror",
  "sales@pilot.test": "mirror",
};

const domainOf = (name: string): Domain | undefined => {
  const [stage, hasAccountStages] = DOMAINS[name] ?? [];
  if (stage === undefined || hasAccountStages === undefined) return undefined;
  return {
    ...{
      name,
      tenant: "main",
      stage,
      accounts: "listed",
      quotaBytes: 0,
      relayLmtp: "unix:/l",
      hasAccountStages,
    },
  };
};

function directory() {
  const asked = { domains: [] as string[], accounts: [] as string[] };
  const made: KnownDirectory = {
    async findDomain(name) {
      asked.domains.push(name);
      return domainOf(name);
    },
    async findAccount({ raw, domain: name }: MailAddress) {
      asked.accounts.push(raw);
      const [domain, stage] = [domainOf(name), OWN[raw]];
      if (domain === undefined || stage === undefined) return undefined;
      const account = {
        id: accountId(1),
        address: raw,
        domain: name,
        quotaBytes: 0,
        usedBytes: 0,
        usedMessages: 0,
      };
      return { account, domain, stage };
    },
  };
  return { made, asked };
}

/** The rest of an envelope is never looked at. */
function envelope(
  to: readonly string[],
  from = "",
  direction: "inbound" | "outbound" = "inbound",
): MilterEnvelope {
  const recipients = to.map(raw => ({ address: parseMailAddress(raw), args: [] }));
  return { direction, mailFrom: parseMailAddress(from), recipients } as unknown as MilterEnvelope;
}

test("of a domain whose accounts have stages of their own each recipient counts by its account", async () => {
  const { made, asked } = directory();
  const to = ["ann@pilot.test", "ann+x@pilot.test", "sales@pilot.test", "bob@pilot.test", "x@far.test"];
  const scope = await scopeOf(made, envelope(to));
  assert.deepEqual([...(scope?.observed ?? [])], ["bob@pilot.test", "x@far.test"]);
  assert.deepEqual([scope?.stage, scope?.hasOurs], ["mirror", true]);
  assert.deepEqual(asked, { domains: ["pilot.test", "far.test"], accounts: to.slice(0, 4) });
});

test("accounts are looked up only where some have a stage of their own", async () => {
  const { made, asked } = directory();
  const to = Array.from({ length: 1000 }, (_, i) => `u${i}@${i % 2 === 0 ? "hooks" : "observe"}.test`);
  const scope = await scopeOf(made, envelope(to));
  assert.deepEqual([scope?.observed.size, scope?.stage], [500, "hooks"]);
  assert.deepEqual(asked, { domains: ["hooks.test", "observe.test"], accounts: [] });
});

test("a trace is wanted as soon as one recipient is beyond observe, and no account is looked up in vain", async () => {
  for (const [to, wanted, lookedUp] of [
    [["bob@pilot.test", "x@hooks.test"], true, 0],
    [["bob@pilot.test", "ann@pilot.test"], true, 2],
    [["bob@pilot.test", "x@observe.test", "x@far.test"], false, 1],
  ] as const) {
    const { made, asked } = directory();
    assert.equal(await hasOurs(made, envelope(to)), wanted, to.join());
    assert.equal(asked.accounts.length, lookedUp, to.join());
  }
});

test("of mail that is sent the sender's own stage counts, for all recipients", async () => {
  const { made } = directory();
  const sent = (from: string) => scopeOf(made, envelope(["x@far.test", "y@far.test"], from, "outbound"));
  const ann = await sent("ann@pilot.test");
  assert.deepEqual([ann?.stage, ann?.observed.size], ["mirror", 0]);
  const bob = await sent("bob@pilot.test");
  assert.deepEqual([bob?.stage, bob?.observed.size], ["observe", 2]);
  assert.equal(await sent("x@far.test"), undefined);
});
