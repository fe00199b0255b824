import assert from "node:assert/strict";
import { test } from "node:test";
import { packStructure } from "../../../src/core/mime/packed.ts";
import { MessageScanner } from "../../../src/core/mime/scanner.ts";
import type { MessageStructure } from "../../../src/core/mime/structure.ts";
import type { MessageFacts } from "../../../src/core/ports/hooks.ts";
import { MAX_KEPT_BYTES, MessageViews } from "../../../src/hooks/message-views.ts";
import type { PermissionsInput } from "../../../src/wire/permissions.ts";
import { factsOf } from "../hooks/message.ts";

import { crlf, FILE, lines, MEBI, mixed, multi, payloadOf, sha256, TEXT } from "./payload.ts";

test("body: each text part with its charset, in order, files apart", async () => {
  const facts = factsOf(
    mixed(
      [TEXT, "one\r\ntwo"],
      ["Content-Type: text/html; charset=shift_jis", Buffer.from([0x3c, 0x70, 0x3e, 0x90, 0xbf])],
      ["Content-Type: text/plain; name=a.txt", "file"],
      ["Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: x-none", "unknown"],
    ),
  );
  const { body, attachments } = await payloadOf(facts, { read_body: "full", read_attachments: "metadata" });
  assert.deepEqual(body, [
    {
      type: "text/plain",
      text: "one\ntwo",
      truncated: false,
      charset_declared: "utf-8",
      charset_used: "us-ascii",
    },
    {
      type: "text/html",
      text: "<p>請",
      truncated: false,
      charset_declared: "shift_jis",
      charset_used: "shift_jis",
    },
  ]);
  assert.deepEqual(
    attachments?.map(({ filename, size_bytes }) => [filename, size_bytes]),
    [
      ["a.txt", 4],
      [null, 7],
    ],
  );
});

test("body: a part is cut at 1 MiB, all of them at 4 MiB, on a character", async () => {
  const long = "あ".repeat(MEBI / 2);
  const parts = Array.from({ length: 6 }, () => [TEXT, long] as const);
  const { body } = await payloadOf(factsOf(mixed(...parts)), { read_body: "full" });
  const sizes = body?.map(({ text }) => Buffer.byteLength(text));
  assert.deepEqual(sizes, [MEBI - 1, MEBI - 1, MEBI - 1, MEBI - 1, 3, 0]);
  assert.ok(body?.every(({ text, truncated }) => truncated && !text.includes("\ufffd")));
  const short = await payloadOf(factsOf(mixed([TEXT, "a".repeat(MEBI)])), { read_body: "full" });
  assert.equal(short.body?.[0]?.truncated, false);
});

test("attachments: metadata has names and sizes, preview the start and the digest, full the content", async () => {
  const small = Buffer.from("small file");
  const large = Buffer.alloc(5000, "x");
  const facts = factsOf(
    mixed(
      [TEXT, "hello"],
      [
        `${FILE}; x\nContent-Disposition: Attachment; filename="../a/b.bin"\nContent-ID: <cid@x>`,
        lines(small),
      ],
      [
        "Content-Type: IMAGE/png\nContent-Transfer-Encoding: base64\nContent-Disposition: inline",
        lines(large),
      ],
    ),
  );
  const names = [
    {
      index: 0,
      filename: "b.bin",
      content_type: "application/octet-stream",
      size_bytes: lines(small).length,
      disposition: "attachment",
      content_id: "cid@x",
    },
    {
      index: 1,
      filename: null,
      content_type: "image/png",
      size_bytes: lines(large).length,
      disposition: "inline",
      content_id: null,
    },
  ];
  const at = async (level: "metadata" | "preview" | "full") =>
    (await payloadOf(facts, { read_attachments: level })).attachments;
  assert.deepEqual(await at("metadata"), names);
  const starts = [small, large].map(file => ({
    sha256: sha256(file),
    preview_base64: file.subarray(0, 4096).toString("base64"),
    preview_truncated: file.length > 4096,
  }));
  assert.deepEqual(
    await at("preview"),
    names.map((name, i) => ({ ...name, ...starts[i] })),
  );
  const contents = [small, large].map(file => ({
    content_base64: file.toString("base64"),
    content_url: null,
  }));
  assert.deepEqual(
    await at("full"),
    names.map((name, i) => ({ ...name, ...starts[i], ...contents[i] })),
  );
});

test("attachments: a content over 1 MiB, and what would make more than 5 MiB, is null; the digest is of all of it", async () => {
  const files = [MEBI + 1, MEBI, MEBI, MEBI, MEBI, MEBI, 1].map((size, i) => Buffer.alloc(size, `${i}`));
  const facts = factsOf(mixed(...files.map(file => [FILE, lines(file)] as const)));
  const { attachments } = await payloadOf(facts, { read_attachments: "full" });
  assert.deepEqual(
    attachments?.map(({ content_base64 }) => content_base64 === null),
    [true, false, false, false, false, false, true],
  );
  assert.deepEqual(
    attachments?.map(attachment => attachment.sha256),
    files.map(sha256),
  );
  assert.ok(attachments?.every(({ content_url }) => content_url === null));
});

test("attachments: an attached message is one; what stands in a signed or encrypted message is where it can be seen", async () => {
  const list = async (source: Buffer) => {
    const payload = await payloadOf(factsOf(source), { read_body: "full", read_attachments: "metadata" });
    const { body, body_preview: preview, attachments } = payload;
    return [preview?.text, body?.map(({ text }) => text), attachments?.map(({ content_type: type }) => type)];
  };
  const nested = Buffer.concat([crlf("Subject: x\n"), mixed([TEXT, "inner"], [FILE, "eA=="])]);
  assert.deepEqual(await list(mixed([TEXT, "t"], ["Content-Type: message/rfc822", nested])), [
    "t",
    ["t"],
    ["message/rfc822"],
  ]);
  const signature = ["Content-Type: application/pgp-signature", "sig"] as const;
  assert.deepEqual(await list(multi("signed", [TEXT, "t"], signature)), ["t", ["t"], []]);
  assert.deepEqual(await list(multi("signed", [TEXT, "t"], [TEXT, "hidden"])), ["t", ["t"], ["text/plain"]]);
  const control = ["Content-Type: application/pgp-encrypted", "Version: 1"] as const;
  assert.deepEqual(await list(multi("encrypted", control, [TEXT, "cipher"])), [
    undefined,
    [],
    ["application/pgp-encrypted", "text/plain"],
  ]);
});

test("an empty attached message, or an empty part at the end, does not stand before the text", async () => {
  const nested = ["Content-Type: message/rfc822", ""] as const;
  const payload = await payloadOf(factsOf(mixed(nested, [TEXT, "seen"], nested)), {
    read_body: "full",
    read_attachments: "metadata",
  });
  assert.equal(payload.body_preview?.text, "seen");
  assert.deepEqual(
    payload.body?.map(({ text }) => text),
    ["seen"],
  );
  assert.equal(payload.attachments?.length, 2);
  const open = crlf("Content-Type: multipart/encrypted; boundary=b\n\n--b\n");
  const { body, attachments } = await payloadOf(factsOf(open), {
    read_body: "full",
    read_attachments: "metadata",
  });
  assert.deepEqual([body, attachments?.length], [[], 1]);
});

test("of a message whose body is not here, or whose structure was lost, nothing is read", async () => {
  const everything: PermissionsInput = { read_body: "full", read_attachments: "full" };
  const whole = factsOf(mixed([TEXT, "t"], [FILE, "eA=="]));
  const header: MessageFacts = { ...whole, content: { ...unreadable(whole), digest: "" } };
  const lost: MessageFacts = {
    ...whole,
    structure: packStructure(opaque(whole.sizeBytes)),
    content: { ...unreadable(whole), digest: whole.content.digest },
  };
  for (const facts of [header, lost]) {
    const {
      body_preview: preview,
      body,
      attachments,
      mime_truncated: cut,
    } = await payloadOf(facts, everything);
    assert.deepEqual([preview, body, attachments, cut], [null, [], [], true]);
  }
});

/** As `delivery/received-message.ts` has it when the scanner failed: one part from the first octet. */
function opaque(sizeBytes: number): MessageStructure {
  const empty = new MessageScanner().end();
  const root = { ...empty.root, type: "application", subtype: "octet-stream", bodyEnd: sizeBytes };
  return { ...empty, root, sizeBytes };
}

function unreadable({ content }: MessageFacts) {
  return { sizeBytes: content.sizeBytes, read: () => assert.fail("it was read") };
}

test("no more is read than the grants need: headers of attachments for their names, one pass for their starts", async () => {
  const big = lines(Buffer.alloc(2 * MEBI, "x"));
  const source = () => factsOf(mixed([TEXT, "hello"], [`${FILE}; name=a`, big], [`${FILE}; name=b`, big]));
  const octets = async (grants: PermissionsInput) => {
    const facts = source();
    await payloadOf(facts, grants);
    return facts.content.octetsRead;
  };
  assert.equal(await octets({ read_headers: true }), 0);
  assert.equal(await octets({ read_body: "full" }), 2 * "hello".length);
  assert.ok((await octets({ read_attachments: "metadata" })) < 1000);
  const once = await octets({ read_attachments: "preview" });
  assert.ok(once > 2 * big.length && once < 2 * big.length + 1000, String(once));
});

test("one read serves all hooks and recipients; large contents are read again, so that they are not kept", async () => {
  const facts = factsOf(
    mixed([TEXT, "t"], [FILE, lines(Buffer.alloc(1000))], [FILE, lines(Buffer.alloc(3 * MEBI))]),
  );
  const views = new MessageViews();
  const grants: PermissionsInput = { read_body: "full", read_attachments: "full" };
  await Promise.all([payloadOf(facts, grants, views), payloadOf({ ...facts }, grants, views)]);
  const once = facts.content.octetsRead;
  await payloadOf(facts, grants, views);
  assert.equal(facts.content.octetsRead, once, "3 MiB that are not sent leave a digest, which is small");
  const large = factsOf(mixed([FILE, lines(Buffer.alloc(MAX_KEPT_BYTES))]));
  await Promise.all([payloadOf(large, grants, views), payloadOf(large, grants, views)]);
  const first = large.content.octetsRead;
  await payloadOf(large, grants, views);
  assert.ok(
    first < 2 * large.sizeBytes && large.content.octetsRead > 1.5 * first,
    "shared while it runs, not kept",
  );
});

test("an attachment of 25 MB is hashed as it comes: the reader may use one buffer for all of it", async () => {
  const line = Buffer.from(`${Buffer.alloc(57, "z").toString("base64")}\r\n`);
  const block = Buffer.concat(Array.from({ length: 800 }, () => line));
  const blocks = 550;
  const header = crlf(`${FILE}\n\n`);
  const scanner = new MessageScanner();
  scanner.write(header);
  for (let i = 0; i < blocks; i++) scanner.write(block);
  const structure = scanner.end();
  const lent = Buffer.alloc(block.length);
  async function* read() {
    for (let i = 0; i < blocks; i++) {
      block.copy(lent);
      yield lent;
      lent.fill("?");
    }
  }
  const { content, ...facts } = factsOf("x: y\n\n");
  const sizeBytes = header.length + blocks * block.length;
  const large: MessageFacts = {
    ...facts,
    sizeBytes,
    header,
    structure: packStructure(structure),
    content: { digest: content.digest, sizeBytes, read },
  };
  const [file] = (await payloadOf(large, { read_attachments: "full" })).attachments ?? [];
  assert.equal(file?.size_bytes, blocks * block.length);
  assert.equal(file?.sha256, sha256(Buffer.alloc(57 * 800 * blocks, "z")));
  assert.equal(file?.content_base64, null);
  assert.equal(file?.preview_base64, Buffer.alloc(4096, "z").toString("base64"));
});

test("a read that failed is tried again by the next hook", async () => {
  const good = factsOf(mixed([TEXT, "t"]));
  let broken = true;
  const content = {
    ...good.content,
    digest: good.content.digest,
    sizeBytes: good.sizeBytes,
    read: (range?: { start: number; end: number }) => {
      if (broken) throw new Error("away");
      return good.content.read(range);
    },
  };
  const views = new MessageViews();
  await assert.rejects(payloadOf({ ...good, content }, { read_body: "full" }, views), /away/);
  broken = false;
  assert.equal((await payloadOf({ ...good, content }, { read_body: "full" }, views)).body?.[0]?.text, "t");
});
