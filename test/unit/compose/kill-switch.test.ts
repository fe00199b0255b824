import assert from "node:assert/strict";
import { test } from "node:test";
import { StepKillSwitch } from "../../../src/compose/kill-switch.ts";

function rig(allowed = true) {
  const state = { nowMs: 0, kills: 0, allowed };
  const killSwitch = new StepKillSwitch({
    allowed: () => state.allowed,
    now: () => new Date(state.nowMs),
    kill: () => {
      state.kills += 1;
    },
  });
  return { state, killSwitch };
}

test("an armed kill happens once, at its step", () => {
  const { state, killSwitch } = rig();
  killSwitch.reached("received");
  killSwitch.arm("persisted", 1000);
  killSwitch.reached("received");
  assert.equal(state.kills, 0);
  killSwitch.reached("persisted");
  killSwitch.reached("persisted");
  assert.equal(state.kills, 1);
});

test("nothing is ended when the time is over, or when it was taken back", () => {
  const { state, killSwitch } = rig();
  killSwitch.arm("received", 1000);
  state.nowMs = 1000;
  killSwitch.reached("received");
  killSwitch.arm("received", 1000);
  killSwitch.disarm();
  killSwitch.reached("received");
  assert.equal(state.kills, 0);
  assert.equal(killSwitch.state().armed, undefined);
});

test("the configuration is asked at the step itself", () => {
  const { state, killSwitch } = rig();
  killSwitch.arm("received", 1000);
  state.allowed = false;
  killSwitch.reached("received");
  assert.equal(state.kills, 0);
});
