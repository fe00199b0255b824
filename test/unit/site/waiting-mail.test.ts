import assert from "node:assert/strict";
import { test } from "node:test";
import { textBetween } from "../../../src/site/postfix-reload.ts";
import { scopesThatLeave, waitingIn } from "../../../src/site/waiting-mail.ts";
import type { SiteFile } from "../../../src/wire/site-calls.ts";

const file = (path: string, was: string | undefined, text: string | undefined): SiteFile => ({
  ...{ server: "postfix", path, was, text, mode: 0o644 },
});

test("whose mail goes elsewhere is who is in the table before and not after", () => {
  const table = (was: string | undefined, text: string | undefined) =>
    scopesThatLeave([
      file("/etc/postfix/main.cf", "x y", ""),
      file("/etc/postfix/mairust-transport", was, text),
    ]);
  assert.deepEqual(
    table("a.test mairust:x\nTaro@b.test mairust:x\n#observe c.test\n", "a.test mairust:x\n"),
    ["taro@b.test"],
  );
  assert.deepEqual(table("a.test mairust:x\n", undefined), ["a.test"]);
  assert.deepEqual(table(undefined, "a.test mairust:x\n"), []);
  assert.deepEqual(scopesThatLeave([]), []);
});

test("mail of these domains and addresses is found in the queue; what is on hold waits for somebody", () => {
  const line = (queue_name: string, queue_id: string, ...to: readonly string[]) =>
    JSON.stringify({ queue_name, queue_id, recipients: to.map(address => ({ address })) });
  const said = [
    line("deferred", "1", "x@other.test", "Ann@A.test"),
    line("active", "2", "taro@b.test"),
    line("deferred", "3", "hana@b.test"),
    line("hold", "4", "ann@a.test"),
    "{}",
    "",
  ].join("\n");
  assert.deepEqual(waitingIn(said, new Set(["a.test", "taro@b.test"])), [
    { id: "1", isDeferred: true },
    { id: "2", isDeferred: false },
  ]);
});

test("a service that goes out of master.cf stays for one reload, and nothing else does", () => {
  const [smtp, ours, own] = [
    "smtp inet n - y - - smtpd\n",
    "mairust unix - - n - - lmtp\n    -o x=y\n",
    "# mine\n",
  ];
  assert.equal(textBetween(file("/m", smtp + ours, smtp + own)), smtp + own + ours);
  assert.equal(textBetween(file("/m", smtp + ours, smtp + ours + own)), undefined);
  assert.equal(textBetween(file("/m", smtp, smtp + own)), undefined);
});
