/** Who may log in to whose mail, what the log is told, and what guessing costs. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { MairustError } from "../../../src/core/errors.ts";
import { accountId } from "../../../src/core/ids.ts";
import { type Directory, NO_ACCOUNT, type ResolvedRecipient } from "../../../src/core/ports/directory.ts";
import { createAuthenticator } from "../../../src/store/login.ts";
import { PasswordTurns } from "../../../src/store/password-turns.ts";

const ACCOUNT = {
  id: accountId(1),
  address: "ann@a.test",
  domain: "a.test",
  quotaBytes: 0,
  usedBytes: 0,
  usedMessages: 0,
};

const RESOLVED: ResolvedRecipient = {
  account: ACCOUNT,
  domain: {
    name: "a.test",
    tenant: "",
    stage: "store",
    accounts: "listed",
    quotaBytes: 0,
    relayLmtp: undefined,
    hasAccountStages: false,
  },
  stage: "store",
};

const DIRECTORY: Directory = {
  async resolveRecipient(address) {
    if (address.local === "relayed") return { ...RESOLVED, account: { ...ACCOUNT, id: NO_ACCOUNT } };
    if (address.local !== "ann") throw new MairustError("unknown_account", "Cannot find it");
    return RESOLVED;
  },
  findAccount: async () => undefined,
  findDomain: async () => undefined,
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

test("whose mail is relayed only has no mailboxes here: nobody logs in as them, or as all of them", async () => {
  const { login } = authenticator();
  const refused = failing("auth_failed", "unknown_account");
  await assert.rejects(login("127.0.0.1", "right", "dovecot", "relayed@a.test"), refused);
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

/** Users whose password is their own name, checked one after the other in turns that take real time. */
function manyUsers() {
  const clock = { ms: 1_000_000 };
  const computed: string[] = [];
  const turns = new PasswordTurns();
  const made = createAuthenticator({
    directory: DIRECTORY,
    masterUser: "dovecot",
    masterPassword: "right",
    users: {
      check: (user, password, turn = {}) =>
        turns.take(async () => {
          turn.before?.();
          computed.push(user);
          await new Promise(resolve => setImmediate(resolve));
          return password === user ? ACCOUNT : undefined;
        }, turn.gone),
    },
    now: () => clock.ms,
    wait: async () => undefined,
  });
  const login = (peer: string, user: string, password: string) =>
    made.login({ user, password, authorize: "", peer }).then(
      () => "ok",
      (error: unknown) => (error instanceof MairustError ? error.code : "?"),
    );
  return { clock, computed, turns, login };
}

test("guesses that are sent at the same time pass no limit that guesses one after the other would not pass", async () => {
  const { computed, turns, login } = manyUsers();
  const answers = await Promise.all(
    Array.from({ length: 200 }, (_, i) => login("192.0.2.1", "ann@a.test", `guess${i}`)),
  );
  assert.ok(computed.length <= 5 + 4, `${computed.length} were looked at`);
  assert.equal(answers.filter(answer => answer === "too_many").length, 200 - computed.length);
  assert.deepEqual(turns.load, { running: 0, waiting: 0, lines: 0 });
});

test("an account is refused after 50 failures from anywhere, but not where its owner has been; spellings are one", async () => {
  const { clock, login } = manyUsers();
  const user = "ann@a.test";
  assert.equal(await login("192.0.2.99", user, user), "ok");
  for (let i = 0; i < 50; i += 1)
    assert.equal(await login(`198.51.100.${i}`, i % 2 === 0 ? user : "ANN@A.test", "wrong"), "auth_failed");
  for (const peer of ["198.51.100.200", "127.0.0.1", "unix"])
    assert.equal(await login(peer, user, user), "too_many", peer);
  assert.equal(await login("192.0.2.99", user, user), "ok", "a peer that the account knows");
  assert.equal(await login("198.51.100.200", "bob@a.test", "bob@a.test"), "ok");
  clock.ms += 60_001;
  assert.equal(await login("198.51.100.200", user, user), "ok");
});

test("many connections of one host that are right at the same time do not wait for each other's places", async () => {
  const { login } = manyUsers();
  const started = performance.now();
  const answers = await Promise.all(
    Array.from({ length: 300 }, (_, i) => login("127.0.0.1", `u${i}@a.test`, `u${i}@a.test`)),
  );
  assert.ok(answers.every(answer => answer === "ok"));
  assert.ok(performance.now() - started < 30_000);
});

test("who leaves gives its turn back, and no more than 500 wait", async () => {
  const turns = new PasswordTurns();
  let release: () => void = () => undefined;
  const held = new Promise<void>(resolve => {
    release = resolve;
  });
  const running = [turns.take(() => held), turns.take(() => held)];
  const leaving = Array.from({ length: 500 }, () => new AbortController());
  const waiting = leaving.map(gone => turns.take(async () => "done", gone.signal));
  const refused = Promise.all(waiting.map(one => assert.rejects(one, /left/u)));
  await assert.rejects(
    turns.take(async () => "done"),
    failing("too_many"),
  );
  for (const gone of leaving) gone.abort(new Error("left"));
  await refused;
  assert.deepEqual(turns.load, { running: 2, waiting: 0, lines: 0 });
  const next = turns.take(async () => "done");
  release();
  await Promise.all(running);
  assert.equal(await next, "done");
  assert.deepEqual(turns.load, { running: 0, waiting: 0, lines: 0 });
});

test("guesses from all addresses of one IPv6 network of 64 bits count together, those of another do not", async () => {
  const { login } = authenticator();
  const from = (peer: string, i: number) => login(peer, "wrong", `nobody${i}@a.test`, "");
  for (let i = 0; i < 20; i += 1) {
    const peer = i % 2 === 0 ? `2001:db8:0:7::${i.toString(16)}` : `2001:0db8:0000:7:1:2:3:${i.toString(16)}`;
    await assert.rejects(from(peer, i), failing("auth_failed", "bad_password"));
  }
  await assert.rejects(from("2001:db8:0:7:ffff::1", 30), { code: "too_many" });
  await assert.rejects(from("2001:db8:0:8::1", 31), failing("auth_failed", "bad_password"));
  await assert.rejects(from("2001:db8::7:0:0:1", 32), failing("auth_failed", "bad_password"));
});

test("a password that is too long counts for its peer alone, and never reaches the account's", async () => {
  const { login } = authenticator();
  for (let i = 0; i < 60; i += 1) {
    const refused = login(`192.0.2.${i}`, "x".repeat(1_001), "ann@a.test", "");
    await assert.rejects(refused, failing("auth_failed", "bad_password"));
  }
  assert.equal((await login("198.51.100.1", "own", "ann@a.test", "")).address, "ann@a.test");
});
