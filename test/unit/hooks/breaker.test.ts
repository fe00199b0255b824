import assert from "node:assert/strict";
import { test } from "node:test";
import { Breaker, type CallVerdict, OPEN_MS, WINDOW_MS } from "../../../src/hooks/breaker.ts";

function rigOf() {
  let now = 5_000_000;
  const breaker = new Breaker(() => now);
  const pass = () => {
    const given = breaker.admit();
    assert.ok(given, `refused while ${breaker.state}`);
    return given;
  };
  return {
    breaker,
    pass,
    wait: (ms: number) => {
      now += ms;
    },
    /** One call each, from its beginning to its end. */
    calls(...verdicts: CallVerdict[]) {
      for (const verdict of verdicts) breaker.settle(pass(), verdict);
    },
  };
}

const times = (count: number, verdict: CallVerdict): CallVerdict[] => Array(count).fill(verdict);

test("five failures in a row open the circuit; a success in between starts the row again", () => {
  const { breaker, calls } = rigOf();
  calls(...times(4, "failure"), "success", ...times(4, "failure"));
  assert.equal(breaker.state, "closed");
  calls("failure");
  assert.equal(breaker.state, "open");
  assert.equal(breaker.admit(), undefined);
});

test("half of twenty calls within a minute opens it, one call fewer does not", () => {
  for (const [pairs, state] of [
    [9, "closed"],
    [10, "open"],
  ] as const) {
    const { breaker, calls } = rigOf();
    for (let i = 0; i < pairs; i++) calls("failure", "success");
    assert.equal(breaker.state, state);
  }
  const { breaker, calls } = rigOf();
  for (let i = 0; i < 100; i++) calls("success", "failure", "success");
  assert.equal(breaker.state, "closed");
});

test("calls of more than a minute ago do not count", () => {
  const { breaker, calls, wait } = rigOf();
  for (let i = 0; i < 9; i++) calls("failure", "success");
  wait(WINDOW_MS);
  calls("failure", "success");
  assert.equal(breaker.state, "closed");
});

test("calls that say nothing about the plugin neither count nor end a row", () => {
  const { breaker, calls } = rigOf();
  calls(...times(4, "failure"), ...times(50, "void"));
  assert.equal(breaker.state, "closed");
  calls("failure");
  assert.equal(breaker.state, "open");
});

test("after 30 s one probe goes through: its success closes the circuit, its failure opens it for 30 s more", () => {
  const { breaker, calls, pass, wait } = rigOf();
  calls(...times(5, "failure"));
  wait(OPEN_MS - 1);
  assert.equal(breaker.admit(), undefined);
  wait(1);
  const probe = pass();
  assert.deepEqual([breaker.state, breaker.admit()], ["half_open", undefined]);
  assert.deepEqual(breaker.settle(probe, "failure"), { from: "half_open", to: "open" });
  wait(OPEN_MS - 1);
  assert.equal(breaker.admit(), undefined);
  wait(1);
  assert.deepEqual(breaker.settle(pass(), "success"), { from: "half_open", to: "closed" });
  calls(...times(4, "failure"));
  assert.equal(breaker.state, "closed", "failures from before the opening still count");
});

test("a probe that says nothing makes place for another one", () => {
  const { breaker, calls, pass, wait } = rigOf();
  calls(...times(5, "failure"));
  wait(OPEN_MS);
  assert.equal(breaker.settle(pass(), "void"), undefined);
  assert.equal(breaker.state, "half_open");
  breaker.settle(pass(), "success");
  assert.equal(breaker.state, "closed");
});

test("answers to calls from before the opening are not taken for the probe's, nor count after it", () => {
  const { breaker, calls, pass, wait } = rigOf();
  const old = [pass(), pass(), pass()] as const;
  calls(...times(5, "failure"));
  breaker.settle(old[0], "success");
  assert.equal(breaker.state, "open");
  wait(OPEN_MS);
  const probe = pass();
  breaker.settle(old[1], "success");
  assert.deepEqual([breaker.state, breaker.admit()], ["half_open", undefined]);
  breaker.settle(probe, "success");
  breaker.settle(old[2], "failure");
  calls(...times(4, "failure"));
  assert.equal(breaker.state, "closed");
});
