import assert from "node:assert/strict";
import { test } from "node:test";
import { pidsIn } from "../../../src/site/dovecot-reload.ts";

test("pidsIn() reads the second column of what doveadm says of processes", () => {
  const titles = "name\tpid\tavailable_count\ttotal_count\tidle_start\tlast_status_update\tlast_kill_sent";
  assert.deepEqual(pidsIn(`${titles}\nlmtp\t23119\t0\t1\t0\t1\t0\nlmtp\t7\t1\t0\t1\t1\t0\n`), [23119, 7]);
  assert.deepEqual(pidsIn(titles), []);
  assert.deepEqual(pidsIn(""), []);
});
