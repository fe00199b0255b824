import assert from "node:assert/strict";
import { test } from "node:test";
import { MairustError } from "../../../../src/core/errors.ts";
import { renderBody, renderEnvelope } from "../../../../src/core/mime/imap-render.ts";
import {
  findPart,
  type PartSection,
  packedBody,
  packedBodyStructure,
  packedEnvelope,
  packStructure,
  unpackStructure,
} from "../../../../src/core/mime/packed.ts";
import { message, octets, scan } from "./support.ts";

/** The shape of RFC 3501 §6.4.5's example: 1 text, 2 octets, 3 a message {1, 2}, 4 multipart {1 gif, 2 message {1, 2 {1, 2}}}. */
const RFC3501 = message(
  "Subject: root",
  "Content-Type: multipart/mixed; boundary=a",
  "",
  "--a",
  "Content-Type: text/plain",
  "",
  "1",
  "--a",
  "Content-Type: application/octet-stream",
  "",
  "2",
  "--a",
  "Content-Type: message/rfc822",
  "",
  "Subject: three",
  "Content-Type: multipart/mixed; boundary=b",
  "",
  "--b",
  "",
  "3.1",
  "--b",
  "Content-Type: application/octet-stream",
  "",
  "3.2",
  "--b--",
  "--a",
  "Content-Type: multipart/mixed; boundary=c",
  "",
  "--c",
  "Content-Type: image/gif",
  "",
  "4.1",
  "--c",
  "Content-Type: message/rfc822",
  "",
  "Subject: four-two",
  "Content-Type: multipart/mixed; boundary=d",
  "",
  "--d",
  "",
  "4.2.1",
  "--d",
  "Content-Type: multipart/alternative; boundary=e",
  "",
  "--e",
  "",
  "4.2.2.1",
  "--e",
  "Content-Type: text/richtext",
  "",
  "4.2.2.2",
  "--e--",
  "--d--",
  "--c--",
  "--a--",
);

function section(bytes: Buffer, path: readonly number[], name: PartSection): string | undefined {
  const range = findPart(packStructure(scan(bytes)), path, name);
  return range === undefined ? undefined : bytes.subarray(range.start, range.end).toString("latin1");
}

test("findPart() numbers parts as the example of RFC 3501 §6.4.5 does", () => {
  for (const number of ["1", "2", "3.1", "3.2", "4.1", "4.2.1", "4.2.2.1", "4.2.2.2"]) {
    assert.equal(section(RFC3501, number.split(".").map(Number), "body"), number);
  }
  assert.equal(
    section(RFC3501, [], "header"),
    "Subject: root\r\nContent-Type: multipart/mixed; boundary=a\r\n\r\n",
  );
  assert.equal(section(RFC3501, [], "body"), RFC3501.toString("latin1"));
  assert.ok(section(RFC3501, [], "text")?.startsWith("--a\r\n"));
  assert.equal(
    section(RFC3501, [3], "header"),
    "Subject: three\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n",
  );
  assert.ok(section(RFC3501, [3], "text")?.startsWith("--b\r\n\r\n3.1"));
  assert.ok(section(RFC3501, [3], "body")?.startsWith("Subject: three\r\n"));
  assert.equal(section(RFC3501, [4, 1], "mime"), "Content-Type: image/gif\r\n\r\n");
  assert.ok(section(RFC3501, [4, 2, 2], "body")?.startsWith("--e\r\n"));
});

test("findPart() knows which parts and sections do not exist", () => {
  for (const path of [[0], [5], [1, 1], [3, 3], [4, 2, 3], [1.5], [-1], [Number.NaN]]) {
    assert.equal(section(RFC3501, path, "body"), undefined, path.join("."));
  }
  assert.equal(section(RFC3501, [1], "header"), undefined);
  assert.equal(section(RFC3501, [4], "text"), undefined);
  assert.equal(section(RFC3501, [], "mime"), undefined);
});

test("findPart() takes the body of a message that is no multipart as its part 1", () => {
  const plain = message("Subject: s", "", "text");
  assert.equal(section(plain, [1], "body"), "text\r\n");
  assert.equal(section(plain, [1], "mime"), "Subject: s\r\n\r\n");
  assert.equal(section(plain, [2], "body"), undefined);
  assert.equal(section(plain, [1, 1], "body"), undefined);
  const forwarded = message("Content-Type: message/rfc822", "", "Subject: in", "", "text");
  assert.equal(section(forwarded, [1], "header"), "Subject: in\r\n\r\n");
  assert.equal(section(forwarded, [1, 1], "body"), "text\r\n");
});

test("packed bytes give back what was rendered, as views", () => {
  const structure = scan(RFC3501);
  const packed = packStructure(structure);
  assert.equal(Buffer.from(packedEnvelope(packed)).toString("latin1"), renderEnvelope(structure.envelope));
  assert.equal(Buffer.from(packedBodyStructure(packed)).toString("latin1"), renderBody(structure.root, true));
  assert.equal(Buffer.from(packedBody(packed)).toString("latin1"), renderBody(structure.root, false));
  assert.equal(packedEnvelope(packed).buffer, packed.buffer);
});

test("unpackStructure() lists every node with its number, type, encoding and charset", () => {
  const bytes = message(
    "Content-Type: multipart/mixed; boundary=b",
    "",
    "--b",
    "Content-Type: text/html; charset=Shift_JIS",
    "Content-Transfer-Encoding: BASE64",
    "",
    "--b",
    "Content-Type: message/rfc822",
    "",
    "",
    "x",
    "--b--",
  );
  const { parts, sizeBytes } = unpackStructure(packStructure(scan(bytes)));
  assert.equal(sizeBytes, bytes.length);
  assert.deepEqual(
    parts.map(p => [p.path?.join("."), p.kind, p.mediaType, p.encoding, p.charset, p.isText]),
    [
      [undefined, "multipart", "multipart/mixed", "", "", false],
      ["1", "leaf", "text/html", "base64", "Shift_JIS", true],
      ["2", "message", "message/rfc822", "", "", false],
      ["2.1", "leaf", "text/plain", "", "", true],
    ],
  );
});

test("damaged or foreign bytes are refused as such", () => {
  const packed = packStructure(scan(RFC3501));
  const isDataInvalid = (error: unknown): boolean =>
    error instanceof MairustError && error.code === "data_invalid";
  assert.throws(() => packedEnvelope(packed.subarray(0, 20)), isDataInvalid);
  const foreign = Buffer.from(packed);
  foreign[0] = 2;
  assert.throws(() => packedEnvelope(foreign), isDataInvalid);
  assert.throws(() => findPart(octets(""), [], "body"), isDataInvalid);
  assert.throws(() => unpackStructure(octets("\x01\x05\x00\x00\x00\x02\xff\xff")), isDataInvalid);
  const longText = octets("\x01\x05\x00\x00\x00\x08\x00\x00\x00\x00\x05\x00\x00\x7f");
  assert.throws(() => unpackStructure(longText), isDataInvalid);
  assert.throws(() => findPart(longText, [1], "body"), isDataInvalid);
});

test("packed structures stay small", () => {
  assert.ok(packStructure(scan(message("Subject: s", "From: a@b", "", "text"))).length < 260);
});
