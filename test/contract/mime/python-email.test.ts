/**
 * What our scanner finds, against Python's email package: part numbers, types, header fields and the octets of every leaf, for
 * random well-formed trees and for the messages of the corpus that Python reads without a defect.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { changedHeader, planAppend } from "../../../src/core/append-text.ts";
import { headerFields } from "../../../src/core/mime/header.ts";
import { type PackedPart, packStructure, unpackStructure } from "../../../src/core/mime/packed.ts";
import { MessageScanner } from "../../../src/core/mime/scanner.ts";
import { corpusThere, readCorpus } from "../../lib/corpus.ts";
import { madeMail } from "../../lib/made-mail.ts";
import { madeMessage, pythonReads } from "../../lib/mime-tree.ts";
import { type PythonPart, pythonParts, pythonThere } from "../../lib/python-email.ts";

const skip = pythonThere() ? false : "python3 is not installed";
const TREES = 400;

function scanned(bytes: Buffer): readonly PackedPart[] {
  const scanner = new MessageScanner();
  scanner.write(bytes);
  return unpackStructure(packStructure(scanner.end())).parts;
}

/** Python ends a line at a bare CR or LF too, and drops the line break before a value's first octet. */
function plainValue(value: string): string {
  return value.replace(/\r?\n|\r/gu, "\n").trim();
}

function fieldsOf(bytes: Buffer, part: PackedPart): ReadonlyArray<readonly [string, string]> {
  const block = bytes.subarray(part.headerStart, part.bodyStart);
  return Array.from(
    headerFields(block),
    field => [field.name, plainValue(Buffer.from(field.value).toString("latin1"))] as const,
  );
}

/** @returns the first difference, or undefined */
function difference(bytes: Buffer, theirs: readonly PythonPart[]): string | undefined {
  const ours = scanned(bytes);
  const shape = (parts: ReadonlyArray<{ path?: readonly number[] | undefined; type: string }>) =>
    parts.map(({ type }) => type).join(" ");
  const ourShape = shape(ours.map(part => ({ type: part.mediaType })));
  if (ourShape !== shape(theirs)) return `parts ${ourShape} | ${shape(theirs)}`;
  for (const [index, part] of ours.entries()) {
    const their = theirs[index];
    if (their === undefined) return "a part is missing";
    if (part.path !== undefined && part.path.join(".") !== their.path.join("."))
      return `number ${part.path.join(".")} | ${their.path.join(".")}`;
    const fields = JSON.stringify(fieldsOf(bytes, part));
    const theirFields = JSON.stringify(their.fields.map(([name, value]) => [name, plainValue(value)]));
    if (fields !== theirFields) return `fields of ${part.path?.join(".")}: ${fields} | ${theirFields}`;
    const body = bytes.toString("latin1", part.bodyStart, part.bodyEnd);
    if (part.kind === "leaf" && their.body !== undefined && their.body !== body)
      return `body of ${part.path?.join(".")}: ${JSON.stringify(body.slice(-60))} | ${JSON.stringify(their.body.slice(-60))}`;
  }
  return undefined;
}

test("random trees are read as Python's email package reads them", { skip }, async () => {
  const made = fc
    .sample(madeMessage, { numRuns: TREES, seed: 11 })
    .filter(({ text }) => pythonReads(text))
    .map(({ text }) => Buffer.from(text, "latin1"));
  const theirs = await pythonParts(made);
  assert.equal(theirs.length, made.length);
  const differing = made
    .map((bytes, index) => difference(bytes, theirs[index] ?? []))
    .filter(found => found !== undefined);
  assert.deepEqual(differing, []);
});

/** Messages of the corpus that differ, each with the reason for which ours is right, or as right. */
const DIFFERENCES: Readonly<Record<string, string>> = {
  "james-mime4j/mimetools-testmsgs__2002_06_12_doublebound.eml":
    "a repeated delimiter makes an empty part (RFC 2046 §5.1.1)",
  "james-mime4j/mimetools-testmsgs__double-bound.eml": "the same",
  "stalwart-mail-parser/malformed__000.eml": "the same",
};

test("the mail corpus is read as Python's email package reads it, where that sees no defect", {
  skip: skip === false && !corpusThere() ? "no mail corpus here" : skip,
}, async () => {
  const corpus = readCorpus();
  const theirs = await pythonParts(corpus.map(({ bytes }) => bytes));
  const differing: Record<string, string> = {};
  let compared = 0;
  for (const [index, { name, bytes }] of corpus.entries()) {
    const parts = theirs[index] ?? [];
    if (parts.some(part => part.defects.length > 0)) continue;
    compared += 1;
    const found = difference(bytes, parts);
    if (found !== undefined) differing[name] = found.slice(0, 400);
  }
  assert.ok(compared > 900, `${compared} messages were compared`);
  const unknown = Object.entries(differing).filter(([name]) => !(name in DIFFERENCES));
  assert.deepEqual(unknown, []);
  assert.deepEqual(
    Object.keys(differing).sort(),
    Object.keys(DIFFERENCES).sort(),
    "a listed difference is gone",
  );
});

test("text that is appended is in its part once for Python too, and every other part is what it was", {
  skip,
}, async () => {
  const footer = [{ plain: "FOOTER \u8ffd\u8a18\n--b", html: "<p>FOOTER</p>" }];
  const trees = fc.sample(madeMessage, { numRuns: TREES, seed: 7 });
  const messages = [
    ...madeMail(300).map(({ bytes }) => bytes),
    ...trees.map(({ text }) => Buffer.from(text, "latin1")),
  ];
  const edited = messages.flatMap(message => {
    const { body, fields, done } = planAppend(message, footer);
    const end = scanned(message)[0]?.bodyStart ?? 0;
    if (body === undefined) return [];
    const after = Buffer.concat([changedHeader(message.subarray(0, end), fields), ...body]);
    return [{ message, after, done }];
  });
  assert.ok(edited.length > 100, `${edited.length}`);
  const before = await pythonParts(edited.map(({ message }) => message));
  const now = await pythonParts(edited.map(({ after }) => after));
  for (const [i, { after, done }] of edited.entries()) {
    const [was, is] = [before[i] ?? [], now[i] ?? []];
    // What Python reads otherwise than we do from the start, it may read otherwise afterwards.
    if (was.some(({ defects }) => defects.length > 0)) continue;
    assert.deepEqual(
      is.map(({ path, type }) => [path, type]),
      was.map(({ path, type }) => [path, type]),
      after.toString("latin1"),
    );
    const changed = is.filter(({ body }, n) => body !== was[n]?.body);
    assert.equal(changed.length, done.length, after.toString("latin1"));
    assert.ok(changed.every(({ type }) => type === "text/plain" || type === "text/html"));
  }
});
