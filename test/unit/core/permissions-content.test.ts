import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { callId } from "../../../src/core/ids.ts";
import { packStructure } from "../../../src/core/mime/packed.ts";
import { MessageScanner } from "../../../src/core/mime/scanner.ts";
import type { MessageStructure } from "../../../src/core/mime/structure.ts";
import { project } from "../../../src/core/permissions.ts";
import { payloadCost } from "../../../src/core/permissions-cost.ts";
import { fitted } from "../../../src/core/permissions-fit.ts";
import { grantsOf } from "../../../src/core/permissions-grants.ts";
import { cutJson, jsonBytes } from "../../../src/core/permissions-json.ts";
import { decodeTransfer, TransferDecoder } from "../../../src/core/permissions-transfer.ts";
import type { MessageFacts } from "../../../src/core/ports/hooks.ts";
import { MAX_KEPT_BYTES, MessageViews } from "../../../src/hooks/message-views.ts";
import { readSegments } from "../../../src/hooks/read-segments.ts";
import { type HookPayload, MAX_PAYLOAD_BYTES } from "../../../src/wire/hook-payload.ts";
import type { PermissionsInput } from "../../../src/wire/permissions.ts";
import { SeededRandom } from "../../lib/random.ts";
import { factsOf, MemoryBlob } from "../hooks/message.ts";

const MEBI = 1024 * 1024;
const STATE = { recipients: ["u@example.com"], account: undefined, tags: [], provenance: [] };

async function payloadOf(
  facts: MessageFacts,
  input: PermissionsInput,
  views = new MessageViews(),
): Promise<HookPayload> {
  const grants = grantsOf(input);
  return project(await views.view(facts, grants), STATE, grants, {
    callId: callId("0190a000-0000-7000-8000-000000000001"),
    point: "pre_delivery",
    mode: "enforce",
    attempt: 1,
    deadlineMs: 1000,
    pluginId: "p.q",
    pluginVersion: "1.0.0",
    settings: {},
  });
}

const crlf = (text: string) => Buffer.from(text.replace(/\r?\n/g, "\r\n"));
/** Parts are a header with its empty line, and a body. */
function mixed(...parts: ReadonlyArray<readonly [header: string, body: string | Uint8Array]>): Buffer {
  return multi("mixed", ...parts);
}
function multi(kind: string, ...parts: ReadonlyArray<readonly [string, string | Uint8Array]>): Buffer {
  return Buffer.concat([
    crlf(`Content-Type: multipart/${kind}; boundary=b\n\n`),
    ...parts.flatMap(([header, body]) => [crlf(`--b\n${header}\n\n`), Buffer.from(body), crlf("\n")]),
    crlf("--b--\n"),
  ]);
}
const lines = (bytes: Uint8Array) =>
  Buffer.from(bytes)
    .toString("base64")
    .replace(/(.{76})/g, "$1\r\n");
const TEXT = "Content-Type: text/plain; charset=utf-8";
const FILE = "Content-Type: application/octet-stream\nContent-Transfer-Encoding: base64";
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

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

test("a payload never exceeds its limit: what does not fit is cut with its mark", async () => {
  // Controls take six octets each in JSON; 1000 attachments have a start each.
  const hostile = "\u0001".repeat(1_048_576);
  const texts = Array.from({ length: 6 }, () => [TEXT, hostile] as const);
  const files = Array.from(
    { length: 900 },
    (_, i) =>
      [`${FILE}; name="${`"\\`.repeat(100)}${i}"`, lines(Buffer.alloc(i < 6 ? MEBI : 8000, "y"))] as const,
  );
  const facts = factsOf(mixed(...texts, ...files));
  const grants: PermissionsInput = { read_headers: true, read_body: "full", read_attachments: "full" };
  const payload = await payloadOf(facts, grants);
  const bytes = jsonBytes(payload);
  assert.ok(bytes <= MAX_PAYLOAD_BYTES && bytes > 0.9 * MAX_PAYLOAD_BYTES, String(bytes));
  assert.ok(bytes <= payloadCost(facts, grantsOf(grants)));
  assert.equal(payload.attachments?.length, 900);
  assert.ok(payload.body?.every(({ truncated }) => truncated));
  const cut = payload.attachments?.filter(({ preview_base64: start }) => start === "") ?? [];
  assert.ok(cut.every(({ preview_truncated: truncated }) => truncated));
});

test("texts are cut before starts, and starts before contents, when there is no room", () => {
  const names = {
    index: 0,
    filename: null,
    content_type: "a/b",
    size_bytes: 3,
    disposition: null,
    content_id: null,
  };
  const body = [
    {
      type: "text/plain" as const,
      text: "\n".repeat(100),
      truncated: false,
      charset_declared: null,
      charset_used: "x",
    },
  ];
  const attachments = [
    { names, start: { sha256: "0".repeat(64), preview: "YWJj", truncated: false }, content: "YWJj" },
  ];
  const fit = (room: number) => {
    const parts = fitted(room, { body, attachments });
    const [text] = parts.body ?? [];
    const [file] = parts.attachments ?? [];
    return [
      text?.text.length,
      text?.truncated,
      file?.preview_base64,
      file?.preview_truncated,
      file?.content_base64,
    ];
  };
  assert.deepEqual(fit(10_000), [100, false, "YWJj", false, "YWJj"]);
  assert.deepEqual(fit(0), [0, true, "", true, null]);
  const least = jsonBytes(fitted(0, { body, attachments }));
  const keys = '{"body":[],"attachments":[]}'.length;
  for (let room = least; room < 1000; room++)
    assert.ok(jsonBytes(fitted(room, { body, attachments })) <= room + keys, String(room));
  const rooms = Array.from({ length: 1000 }, (_, room) => fit(room));
  assert.ok(rooms.some(([length, , start]) => length === 100 && start === ""));
  assert.ok(rooms.some(([, , start, , content]) => start === "YWJj" && content === null));
});

test("the cost is known before anything is read, grows with the grants, and is never below the payload", async () => {
  const facts = factsOf(
    mixed([TEXT, `${"a\n".repeat(5000)}\u0001`], [`${FILE}; name="é"`, lines(Buffer.alloc(20_000))]),
  );
  const levels: readonly PermissionsInput[] = [
    {},
    { read_headers: true },
    { read_headers: true, read_body: "preview" },
    { read_headers: true, read_body: "full" },
    { read_headers: true, read_body: "full", read_attachments: "metadata" },
    { read_headers: true, read_body: "full", read_attachments: "preview" },
    { read_headers: true, read_body: "full", read_attachments: "full" },
  ];
  let before = 0;
  for (const input of levels) {
    const cost = payloadCost(facts, grantsOf(input));
    assert.equal(facts.content.octetsRead, 0);
    assert.ok(cost > before, JSON.stringify(input));
    before = cost;
  }
  for (const input of levels)
    assert.ok(jsonBytes(await payloadOf(facts, input)) <= payloadCost(facts, grantsOf(input)));
});

test("a transfer encoding is undone the same in one piece and in pieces", () => {
  const random = new SeededRandom(7);
  const alphabet = ["a", "b", "=", "=3D", "=\r\n", "\r\n", " ", "\t", "é", "Zm9v", "==", "\n", "=zz"];
  for (let round = 0; round < 400; round++) {
    const text = Array.from({ length: random.whole(0, 60) }, () => random.pick(alphabet)).join("");
    const octets = Buffer.from(text, "latin1");
    for (const encoding of ["base64", "quoted-printable", "8bit", "x-unknown"]) {
      const decoder = new TransferDecoder(encoding);
      const out: Uint8Array[] = [];
      for (let at = 0; at < octets.length; ) {
        const size = random.whole(1, 9);
        out.push(Buffer.from(decoder.write(octets.subarray(at, at + size))));
        at += size;
      }
      out.push(decoder.end());
      const whole = decodeTransfer(octets, encoding) ?? octets;
      assert.deepEqual(Buffer.concat(out), Buffer.from(whole), JSON.stringify([encoding, text]));
    }
  }
});

test("a line of quoted-printable without end is decoded in bounded memory and linear time", () => {
  for (const unit of ["=41", "a", " ", "="]) {
    const decoder = new TransferDecoder("quoted-printable");
    let length = 0;
    for (let i = 0; i < 200; i++) length += decoder.write(Buffer.from(unit.repeat(10_000))).length;
    length += decoder.end().length;
    assert.ok(length > 0 || unit === " ", unit);
  }
});

test("stretches are read in one pass where they are near, and apart where they are far", async () => {
  const bytes = Buffer.alloc(300_000, 0).map((_, i) => i % 251);
  const blob = new MemoryBlob(bytes);
  const read = async (...ranges: ReadonlyArray<readonly [number, number]>) => {
    const got: Buffer[][] = ranges.map(() => []);
    let ended = 0;
    await readSegments(
      blob,
      ranges.map(([start, end], i) => ({
        range: { start, end },
        write: octets => got[i]?.push(Buffer.from(octets)),
        end: () => ended++,
      })),
    );
    assert.equal(ended, ranges.length);
    for (const [i, [start, end]] of ranges.entries())
      assert.deepEqual(Buffer.concat(got[i] ?? []), bytes.subarray(start, end));
    const octets = blob.octetsRead;
    blob.octetsRead = 0;
    return octets;
  };
  assert.equal(await read(), 0);
  assert.equal(await read([5, 5]), 0);
  assert.equal(await read([0, 10], [10, 10], [10, 30], [40, 50]), 50);
  assert.equal(await read([0, 10], [200_000, 200_010]), 20);
  assert.equal(await read([299_990, 300_000]), 10);
});

test("cutJson() counts as JSON.stringify writes", () => {
  for (const text of ['a"b\\c', "\n\t\u0001\u001f", "é請😀", "\ud800x", "a\u2028\u007f"]) {
    const full = jsonBytes(text) - 2;
    assert.equal(cutJson(text, full), text);
    assert.ok(cutJson(text, full - 1).length < text.length, JSON.stringify(text));
  }
  assert.equal(cutJson("a".repeat(10), 3), "aaa");
});
