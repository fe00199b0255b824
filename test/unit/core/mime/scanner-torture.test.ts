/**
 * Generated hostile messages (quality R6). No test here measures time: work is counted in the scanner's own steps, and
 * must grow with the size of the message, not with its square.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  BOUNDARY_BYTES_MAX,
  DELIVERED_TO_MAX,
  FIELD_BYTES_MAX,
  FIELDS_BYTES_TOTAL,
  HEADER_KEEP_BYTES,
  LANGUAGES_MAX,
  MESSAGE_ID_CHARS_MAX,
  MIME_DEPTH_MAX,
  MIME_PARTS_MAX,
} from "../../../../src/core/mime/limits.ts";
import { packStructure, unpackStructure } from "../../../../src/core/mime/packed.ts";
import { MessageScanner } from "../../../../src/core/mime/scanner.ts";
import type { MimePart } from "../../../../src/core/mime/structure.ts";
import { checkBody, readImap } from "./imap-reader.ts";
import { allParts, bodyOf, octets, scan } from "./support.ts";

function depthOf(root: MimePart): number {
  let depth = 0;
  for (let part: MimePart | undefined = root; part !== undefined; part = part.children[0]) depth++;
  return depth;
}

function nested(levels: number): Buffer {
  const open = Array.from(
    { length: levels },
    (_, i) => `Content-Type: multipart/mixed; boundary=b${i}x\r\n\r\n--b${i}x\r\n`,
  );
  return octets(`${open.join("")}\r\nleaf\r\n`);
}

function parts(count: number): Buffer {
  return octets(
    `Content-Type: multipart/mixed; boundary=b\r\n\r\n${"--b\r\n\r\nx\r\n".repeat(count)}--b--\r\n`,
  );
}

function stepsOf(bytes: Uint8Array): number {
  const scanner = new MessageScanner();
  scanner.write(bytes);
  scanner.end();
  return scanner.steps;
}

/** Four times the message may cost at most about four times the steps. */
function assertLinear(make: (size: number) => Uint8Array, size: number): void {
  const one = stepsOf(make(size));
  const four = stepsOf(make(size * 4));
  assert.ok(four <= one * 4.5 + 1000, `${one} steps became ${four}`);
}

function assertRenders(bytes: Uint8Array): void {
  const stored = unpackStructure(packStructure(scan(bytes)));
  checkBody(readImap(stored.bodyStructure), true);
  checkBody(readImap(stored.body), false);
}

test("MessageScanner follows 300 levels and makes an opaque leaf of what lies deeper", () => {
  const fits = scan(nested(MIME_DEPTH_MAX));
  assert.equal(depthOf(fits.root), MIME_DEPTH_MAX + 1);
  assert.equal(fits.truncated, false);
  const deeper = scan(nested(MIME_DEPTH_MAX + 100));
  assert.equal(depthOf(deeper.root), MIME_DEPTH_MAX + 1);
  assert.equal(deeper.truncated, true);
  const leaf = allParts(deeper.root).at(-1);
  assert.equal(`${leaf?.type}/${leaf?.subtype}`, "application/octet-stream");
  assert.equal(leaf?.declaredType, "multipart/mixed");
  assertRenders(nested(400));
});

test("MessageScanner follows 300 messages in messages and makes an opaque leaf of what lies deeper", () => {
  const bytes = octets(`${"Content-Type: message/rfc822\r\n\r\n".repeat(400)}leaf`);
  const { root, truncated } = scan(bytes);
  assert.equal(depthOf(root), MIME_DEPTH_MAX + 1);
  assert.equal(truncated, true);
  assertRenders(bytes);
});

test("MessageScanner takes 3000 parts and leaves the rest in one opaque leaf", () => {
  const fits = scan(parts(MIME_PARTS_MAX - 1));
  assert.equal(fits.partCount, MIME_PARTS_MAX);
  assert.equal(fits.truncated, false);
  const bytes = parts(5000);
  const more = scan(bytes);
  assert.equal(more.partCount, MIME_PARTS_MAX + 1);
  assert.equal(more.truncated, true);
  const last = more.root.children.at(-1);
  assert.equal(`${last?.type}/${last?.subtype}`, "application/octet-stream");
  assert.ok(bodyOf(bytes, last).endsWith("--b--\r\n"));
  assertRenders(bytes);
});

test("MessageScanner keeps no more of a field than its cap, and no half address", () => {
  const addresses = `a@example.com, ${"b@example.com, ".repeat(FIELD_BYTES_MAX / 10)}`;
  const { envelope, truncated } = scan(octets(`Subject: ${"x".repeat(1 << 20)}\r\nTo: ${addresses}\r\n\r\n`));
  assert.ok(
    (envelope.subject?.length ?? 0) > FIELD_BYTES_MAX - 20 &&
      (envelope.subject?.length ?? 0) <= FIELD_BYTES_MAX,
  );
  assert.ok((envelope.to?.length ?? 0) <= FIELD_BYTES_MAX);
  assert.match(envelope.to ?? "", /b@example\.com,$/);
  assert.equal(truncated, true);
  const folded = scan(octets(`Subject: a${`\r\n ${"x".repeat(70)}`.repeat(3000)}\r\nTo: b@c\r\n\r\n`));
  const kept = folded.envelope.subject?.length ?? 0;
  assert.ok(kept <= FIELD_BYTES_MAX && kept > FIELD_BYTES_MAX - 80);
  assert.equal(folded.envelope.to, "b@c");
  const cut = scan(octets(`Subject:${"x".repeat(FIELD_BYTES_MAX)}\r\n yyyyyyyyyyyy\r\n\r\n`));
  assert.equal(cut.envelope.subject?.includes("y"), false);
});

test("MessageScanner keeps no more header text of all parts together than its budget", () => {
  const field = `Content-Description: ${"d".repeat(60_000)}\r\n`;
  const bytes = octets(
    `Content-Type: multipart/mixed; boundary=b\r\n\r\n${`--b\r\n${field}\r\nx\r\n`.repeat(60)}--b--\r\n`,
  );
  const structure = scan(bytes, 5000);
  const kept = structure.root.children.reduce((sum, part) => sum + (part.description?.length ?? 0), 0);
  assert.ok(kept > FIELDS_BYTES_TOTAL / 2 && kept <= FIELDS_BYTES_TOTAL);
  assert.equal(structure.truncated, true);
  assert.equal(structure.root.children.length, 60);
});

test("MessageScanner hands out a large header block only in part", () => {
  const bytes = octets(`${"X-A: b\r\n".repeat(200_000)}Subject: last\r\n\r\nbody`);
  const structure = scan(bytes, 10_000);
  assert.equal(structure.headerBytes, undefined);
  assert.equal(structure.headerHead.length, HEADER_KEEP_BYTES);
  assert.equal(structure.envelope.subject, "last");
});

test("MessageScanner gives the same structure for long header lines however they are cut", () => {
  for (const length of [
    FIELD_BYTES_MAX - 10,
    FIELD_BYTES_MAX - 9,
    FIELD_BYTES_MAX - 8,
    FIELD_BYTES_MAX + 3,
  ]) {
    const bytes = octets(`Subject: ${"x".repeat(length)}\r\nTo: a@b\r\n\r\n`);
    assert.deepEqual(scan(bytes, 1000), scan(bytes));
    assert.deepEqual(scan(bytes, bytes.length - 9), scan(bytes));
  }
});

test("MessageScanner takes 10 000 header fields, lines of 1 MiB, NUL and bare line ends", () => {
  const many = scan(octets(`${"Received: by x id 1\r\n".repeat(10_000)}\r\n`));
  assert.equal(many.receivedCount, 10_000);
  const long = octets(
    `Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n${"y".repeat(1 << 20)}\r\n--b--\r\n`,
  );
  assert.equal(scan(long, 65_536).root.children[0]?.lines, 0);
  const odd = octets("Subject: \0a\r\n\r\n\0\r\0\n\r\r\n\n");
  assert.equal(scan(odd).root.lines, 3);
});

test("the work of MessageScanner grows with the size of a message", () => {
  const head = "Content-Type: multipart/mixed; boundary=boundary\r\n\r\n";
  assertLinear(size => octets(head + "--boundar\r\n".repeat(size)), 25_000);
  assertLinear(size => octets(head + "\n--".repeat(size)), 25_000);
  assertLinear(size => octets(`${"X: y\r\n".repeat(size)}\r\n`), 2500);
  assertLinear(size => octets(head + "--boundary\r\n".repeat(size)), 1000);
});

test("one line costs no more with 300 open boundaries than with one", () => {
  // Every boundary is a prefix of the next: comparing them one by one would cost 300 times as much.
  const common = "p".repeat(BOUNDARY_BYTES_MAX - 100);
  const line = `--${common}q\r\n`;
  const levels = (count: number): string =>
    Array.from({ length: count }, (_, i) => {
      const boundary = common + "r".repeat(i % 99) + (i >= 99 ? `s${i}` : "");
      return `Content-Type: multipart/mixed; boundary=${boundary}\r\n\r\n--${boundary}\r\n`;
    }).join("");
  const extra = (count: number): number => {
    const start = `${levels(count)}\r\nx\r\n`
      .replace(`boundary=${common}\r\n`, "boundary=z\r\n")
      .replace(`--${common}\r\n`, "--z\r\n");
    return stepsOf(octets(start + line.repeat(1000))) - stepsOf(octets(start));
  };
  assert.ok(extra(290) <= extra(2) * 1.1, `${extra(2)} steps became ${extra(290)}`);
});

test("MessageScanner compares no more of a line than the longest boundary it keeps", () => {
  const long = "p".repeat(50_000);
  const start = `Content-Type: multipart/mixed; boundary=${long}\r\n\r\n--${long}\r\n\r\nx\r\n`;
  const line = `--${"p".repeat(BOUNDARY_BYTES_MAX - 1)}q\r\n`;
  assert.equal(scan(octets(start)).root.children.length, 1);
  assert.ok(stepsOf(octets(`${start}--${long}z`)) - stepsOf(octets(start)) < BOUNDARY_BYTES_MAX * 2);
  assert.ok(stepsOf(octets(start + line.repeat(10))) - stepsOf(octets(start)) < BOUNDARY_BYTES_MAX * 12);
});

test("lists and names of a message are cut at their limits", () => {
  const languages = `Content-Language: ${"en,".repeat(100)}\r\n`;
  const name = `Content-Disposition: attachment; filename="${"\xe3\x81\x82".repeat(100)}"\r\n`;
  const structure = scan(
    octets(
      `${"Delivered-To: a\r\n".repeat(300)}Message-ID: <${"m".repeat(2000)}>\r\n${languages}${name}\r\n`,
    ),
  );
  assert.equal(structure.deliveredTo.length, DELIVERED_TO_MAX);
  assert.equal(structure.messageId?.length, MESSAGE_ID_CHARS_MAX);
  assert.equal(structure.threadKey?.length, MESSAGE_ID_CHARS_MAX);
  assert.equal(structure.root.language.length, LANGUAGES_MAX);
  assert.equal(structure.attachments[0]?.filename, "あ".repeat(85));
});
