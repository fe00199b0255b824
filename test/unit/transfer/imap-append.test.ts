import assert from "node:assert/strict";
import { test } from "node:test";
import { dateTime } from "../../../src/transfer/imap-append.ts";

test("dateTime() writes INTERNALDATE in UTC with a day of two characters", () => {
  assert.equal(dateTime(new Date("2021-02-03T04:05:06.789Z")), " 3-Feb-2021 04:05:06 +0000");
  assert.equal(dateTime(new Date("1999-12-31T23:59:59Z")), "31-Dec-1999 23:59:59 +0000");
});
