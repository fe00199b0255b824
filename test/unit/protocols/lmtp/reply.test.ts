import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { MairustError } from "../../../../src/core/errors.ts";
import { messageId } from "../../../../src/core/ids.ts";
import {
  errorReply,
  libraryReply,
  outcomeReply,
  recipientErrorReply,
  renderReply,
} from "../../../../src/protocols/lmtp/reply.ts";

const id = messageId("01890000-0000-7000-8000-000000000001");

test("a reply line is printable ASCII, has one enhanced code and bounded text", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 400 }), text => {
      const line = renderReply({ code: 451, enhanced: "4.3.0", text });
      assert.match(line, /^451 4\.3\.0 [\x20-\x7e]{0,200}\r\n$/u);
    }),
    { numRuns: 30 },
  );
});

test("mail-path.md §2: each failure has its reply", () => {
  const reply = (code: ConstructorParameters<typeof MairustError>[0]) => {
    const { code: number, enhanced } = errorReply(new MairustError(code, "x"));
    return `${number} ${enhanced}`;
  };
  assert.equal(reply("unknown_account"), "550 5.1.1");
  assert.equal(reply("unknown_domain"), "550 5.1.2");
  assert.equal(reply("over_quota"), "452 4.2.2");
  assert.equal(reply("store_unavailable"), "451 4.3.0");
  assert.equal(reply("disk_full"), "452 4.3.1");
  assert.equal(reply("message_too_large"), "552 5.3.4");
  assert.equal(reply("mail_loop"), "554 5.4.6");
  assert.equal(reply("draining"), "421 4.3.2");
  assert.equal(reply("deadline"), "451 4.3.0");
});

test("a quota that is configured to be final is 552 5.2.2", () => {
  const error = new MairustError("over_quota", "full", { retry: "never" });
  assert.deepEqual(errorReply(error), { code: 552, enhanced: "5.2.2", text: "mailbox full" });
});

test("a fault of our own is never a 5xx, even one that will not heal by itself", () => {
  for (const code of ["invalid_state", "config_invalid", "not_built", "plugin_load", "not_found"] as const) {
    assert.equal(errorReply(new MairustError(code, "x", { retry: "never" })).code, 451, code);
  }
});

test("a text that is not public stays in the house", () => {
  const error = new MairustError("internal", "Cannot open /var/lib/secret");
  assert.ok(!renderReply(errorReply(error)).includes("secret"));
});

test("after the final dot no recipient gets a 421", () => {
  assert.equal(recipientErrorReply(new MairustError("draining", "x"), id).code, 451);
});

test("a hook's verdict is passed on with the message id, whatever the text's length", () => {
  const refused = { kind: "refused", code: 554, enhanced: "5.7.1", text: "no ".repeat(200), id } as const;
  const line = renderReply(outcomeReply(refused));
  assert.match(line, /^554 5\.7\.1 no no /u);
  assert.ok(line.endsWith(` id=${id}\r\n`));
});

test("a verdict with a wrong code, class or doubled code is put right", () => {
  const base = { kind: "refused", code: 550, enhanced: "5.7.1", text: "no", id } as const;
  const line = (change: object) => renderReply(outcomeReply({ ...base, ...change })).slice(0, 12);
  assert.equal(line({ code: 250, enhanced: "2.0.0" }), "451 4.7.1 no");
  assert.equal(line({ code: 421, enhanced: "4.3.2" }), "451 4.3.2 no");
  assert.equal(line({ enhanced: "4.7.1" }), "550 5.7.1 no");
  assert.equal(line({ enhanced: "5.7.1\r\n250" }), "550 5.7.1 no");
  assert.equal(line({ text: "5.7.1 no" }), "550 5.7.1 no");
});

test("a reply worded by the library gets one enhanced code", () => {
  assert.equal(
    renderReply(libraryReply(500, "Error: command not recognized")),
    "500 5.5.2 command not recognized\r\n",
  );
  assert.equal(renderReply(libraryReply(221, "Bye")), "221 2.0.0 Bye\r\n");
});
