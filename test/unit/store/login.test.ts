/** Who may log in to whose mail, what the log is told, and what guessing costs. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { MairustError } from "../../../src/core/errors.ts";
import { accountId } from "../../../src/core/ids.ts";
import type { Directory } from "../../../src/core/ports/directory.ts";
import { createAuthenticator } from "../../../src/store/login.ts";

const ACCOUNT = {
  id: accountId(1),
  address: "ann@a.test",
  domain: "a.test",
  quotaBytes: 0,
  usedBytes: 0,
  usedMessages: 0,
};

const DIRECTORY: Directory = {
  async resolveRecipient(address) {
    if (address.local !== "ann") throw new MairustError("unknown_account", "Cannot find it");
    return {
      account: ACCOUNT,
      domain: { name: "a.test", tenant: "", stage: "store", accounts: "listed", quotaBytes: 0 },
    };
  },
  findAccount: async () => undefined,
};

/** A clock that only waiting moves; `waits` are those asked for. */
function authenticator() {
  const clock = { ms: 1_000_000 };
  const waits: number[] = [];
  const made = createAuthenticator({
    directory: DIRECTORY,
    masterUser: "dovecot",
    masterPassword: "right",
    users: {
      check: async (user, password) => (user === "ann@a.test" && password === "own" ? ACCOUNT : undefined),
    },
    now: () => clock.ms,
    wait: async (ms, gone) => {
      gone?.throwIfAborted();
      waits.push(ms);
    },
  });
  const login = (
    peer: string,
    password: string,
    user = "dovecot",
    authorize = "ann@a.test",
    gone?: AbortSignal,
  ) => made.login({ user, password, authorize, peer }, gone);
  return { clock, waits, login };
}

const failing = (code: string, reason?: string) => (error: unknown) =>
  error instanceof MairustError && error.code === code && error.context.reason === reason;

test("a wrong password and an unknown account are told apart for the log, and not for the peer", async () => {
  const { login } = authenticator();
  assert.equal((await login("127.0.0.1", "right")).address, ACCOUNT.address);
  const texts = new Set<string>();
  for (const [password, authorize, reason] of [
    ["wrong", "ann@a.test", "bad_password"],
    ["right", "bob@a.test", "unknown_account"],
  ] as const) {
    await assert.rejects(login("127.0.0.1", password, "dovecot", authorize), error => {
      if (error instanceof MairustError) texts.add(`${error.code} ${error.publicText}`);
      return failing("auth_failed", reason)(error);
    });
  }
  assert.equal(texts.size, 1);
});

test("a peer of the network is refused after 5 failures with one user name, other names after 20, for a minute", async () => {
  const { clock, waits, login } = authenticator();
  for (let i = 0; i < 5; i += 1)
    await assert.rejects(login("192.0.2.1", `wrong${i}`), failing("auth_failed", "bad_password"));
  await assert.rejects(login("192.0.2.1", "right"), failing("too_many"));
  assert.equal((await login("192.0.2.2", "right")).address, ACCOUNT.address);
  for (let i = 0; i < 15; i += 1)
    await assert.rejects(login("192.0.2.1", "wrong", `user${i}`), failing("auth_failed", "bad_password"));
  await assert.rejects(login("192.0.2.1", "wrong", "another"), failing("too_many"));
  clock.ms += 60_001;
  assert.equal((await login("192.0.2.1", "right")).address, ACCOUNT.address);
  assert.deepEqual(waits, []);
});

test("on this host 10 failures a second are looked at, the next waits at most 5 s, and the right password is never refused", async () => {
  const { clock, waits, login } = authenticator();
  for (let i = 0; i < 500; i += 1) assert.equal((await login("127.0.0.1", "right")).address, ACCOUNT.address);
  assert.deepEqual(waits, [], "who is right takes no place");
  for (let i = 0; i < 200; i += 1)
    await assert.rejects(login("127.0.0.1", "wrong"), failing("auth_failed", "bad_password"));
  assert.deepEqual(waits.slice(0, 3), [100, 200, 300], "10 are free, then one each 100 ms");
  assert.equal(waits.length, 200 - 11);
  assert.equal(Math.max(...waits), 5_000);
  assert.equal((await login("unix", "right")).address, ACCOUNT.address);
  clock.ms += 7_000;
  waits.length = 0;
  assert.equal((await login("::1", "right")).address, ACCOUNT.address);
  assert.deepEqual(waits, []);
});

test("who leaves while it waits learns nothing and gains nothing", async () => {
  const { waits, login } = authenticator();
  for (let i = 0; i < 11; i += 1)
    await assert.rejects(login("unix", "wrong"), failing("auth_failed", "bad_password"));
  const reason = new Error("gone");
  for (let i = 0; i < 20; i += 1)
    await assert.rejects(login("unix", "right", "dovecot", "ann@a.test", AbortSignal.abort(reason)), reason);
  assert.deepEqual(waits, []);
  await login("unix", "right");
  assert.deepEqual(waits, [2_100]);
});

test("a user logs in with a password of their own, for themselves alone", async () => {
  const { login } = authenticator();
  for (const authorize of ["", "ann@a.test"])
    assert.equal((await login("192.0.2.1", "own", "ann@a.test", authorize)).address, ACCOUNT.address);
  await assert.rejects(
    login("192.0.2.1", "own", "ann@a.test", "bob@a.test"),
    failing("auth_failed", "bad_password"),
  );
  await assert.rejects(login("192.0.2.1", "wrong", "ann@a.test", ""), failing("auth_failed", "bad_password"));
  // The master user's name is never a user's.
  await assert.rejects(login("192.0.2.1", "right", "dovecot", ""), failing("auth_failed", "bad_password"));
});
