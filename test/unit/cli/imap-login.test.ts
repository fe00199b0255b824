import assert from "node:assert/strict";
import { test } from "node:test";
import { EXIT } from "../../../src/cli/exit-codes.ts";
import { hasUser, readImapUrl } from "../../../src/cli/imap-login.ts";

test("the user of an IMAP URL is read as it is meant", () => {
  assert.equal(
    readImapUrl("imap://taro%40example.com@old.example.com", "--against").user,
    "taro@example.com",
  );
  assert.equal(readImapUrl("imaps://%E5%A4%AA%E9%83%8E@old.example.com", "--against").user, "太郎");
  assert.equal(readImapUrl("imap://100%25@old.example.com", "--against").user, "100%");
  assert.ok(!hasUser("imap://old.example.com", "--against"));
});

test("a % that is no octet of UTF-8 is a usage error that names the option", () => {
  for (const user of ["100%", "a%zzb", "%E5%A4", "%ff"])
    assert.throws(() => readImapUrl(`imap://${user}@old.example.com`, "--against"), {
      exitCode: EXIT.usage,
      message: /^--against: the user in "imap:.*write % as %25/u,
    });
});
