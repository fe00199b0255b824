import assert from "node:assert/strict";
import { test } from "node:test";
import { payloadCost } from "../../../src/core/permissions-cost.ts";
import { fitted } from "../../../src/core/permissions-fit.ts";
import { grantsOf } from "../../../src/core/permissions-grants.ts";
import { cutJson, jsonBytes } from "../../../src/core/permissions-json.ts";
import { decodeTransfer, TransferDecoder } from "../../../src/core/permissions-transfer.ts";
import { readSegments } from "../../../src/hooks/read-segments.ts";
import { MAX_PAYLOAD_BYTES } from "../../../src/wire/hook-payload.ts";
import type { PermissionsInput } from "../../../src/wire/permissions.ts";
import { SeededRandom } from "../../lib/random.ts";
import { factsOf, MemoryBlob } from "../hooks/message.ts";

import { FILE, lines, MEBI, mixed, payloadOf, TEXT } from "./payload.ts";

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

test("long lines of quoted-printable are decoded the same however they are cut into pieces", () => {
  const random = new SeededRandom(5);
  const units = [
    "=41",
    "a",
    " ",
    "\t",
    "=\r\n",
    "= \t\r\n",
    "=",
    "\r\n",
    "  ".repeat(500),
    "x".repeat(40_000),
  ];
  for (let n = 0; n < 40; n++) {
    const text = Array.from({ length: 60 }, () => units[random.whole(0, units.length - 1)]).join("");
    const octets = Buffer.from(text.repeat(2));
    const decodedBy = (pieceBytes: number) => {
      const decoder = new TransferDecoder("quoted-printable");
      const out: Uint8Array[] = [];
      for (let at = 0; at < octets.length; at += pieceBytes)
        out.push(Buffer.from(decoder.write(octets.subarray(at, at + pieceBytes))));
      return Buffer.concat([...out, decoder.end()]);
    };
    const whole = decodedBy(octets.length);
    for (const pieceBytes of [4099, 65_536, 70_001]) assert.ok(decodedBy(pieceBytes).equals(whole), `${n}`);
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
