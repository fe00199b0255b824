/**
 * The whole mail corpus (quality R6): nothing throws, invariants hold, and parts and offsets are those that an
 * independent parser finds: the splitter inside mailparser, which gives back every octet it read, so that offsets can be
 * counted.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { relative } from "node:path";
import type { Transform } from "node:stream";
import { test } from "node:test";
import type { MimePart } from "../../../../src/core/mime/structure.ts";
import { run } from "../../../fuzz/mime-scanner.ts";
import { corpusFiles, corpusFolder, octets, scan } from "./support.ts";

interface SplitNode {
  readonly type: "node";
  readonly contentType: string;
  readonly _headerlen: number;
}

type SplitChunk =
  | SplitNode
  | { readonly type: "body" | "data"; readonly node: SplitNode; readonly value: Buffer };

interface SplitterModule {
  readonly Splitter: new (options: { defaultInlineEmbedded: boolean }) => Transform;
}

// The splitter is mailparser's own dependency: found from where mailparser stands, not named by us.
const requireFromMailparser = createRequire(createRequire(import.meta.url).resolve("mailparser"));

function loadSplitter(): SplitterModule {
  const loaded: unknown = requireFromMailparser("@zone-eu/mailsplit");
  if (typeof loaded !== "object" || loaded === null || !("Splitter" in loaded))
    throw new Error("no Splitter");
  return loaded as SplitterModule;
}

/**
 * Where the two differ, and why ours is right.
 *   delimiter  RFC 2046 §5.1.1: a line that begins with the boundary is a delimiter, whatever follows (white space,
 *              text, a longer boundary); repeated delimiters make empty parts; outer delimiters count at any depth
 *   digest     RFC 2046 §5.1.5: parts of a digest are messages by default
 *   type       a Content-Type that cannot be read means text/plain (RFC 2045 §5.2), or is mended
 *   no-parent  the splitter finds a boundary in a text part
 */
const DIFFERENCES: Readonly<Record<string, "delimiter" | "digest" | "type" | "no-parent">> = {
  "james-mime4j/mimetools-testmsgs__2002_06_12_doublebound.eml": "delimiter",
  "james-mime4j/mimetools-testmsgs__double-bound.eml": "delimiter",
  "james-mime4j/mimetools-testmsgs__frag.eml": "delimiter",
  "james-mime4j/mimetools-testmsgs__multi-digest.eml": "digest",
  "james-mime4j/mimetools-testmsgs__multi-frag.eml": "delimiter",
  "james-mime4j/mimetools-testmsgs__multi-weirdspace.eml": "delimiter",
  "james-mime4j/testmsgs__ending-boundaries.eml": "delimiter",
  "james-mime4j/testmsgs__intermediate-boundaries.eml": "delimiter",
  "james-mime4j/testmsgs__multipartdigestnestedemptyparts.eml": "digest",
  "james-mime4j/testmsgs__multipartemptypart.eml": "delimiter",
  "james-mime4j/testmsgs__very-long-boundary.eml": "delimiter",
  "james-mime4j/testmsgs__very-very-long-boundary.eml": "delimiter",
  "mikel-mail/mime_emails__raw_email4.eml": "delimiter",
  "mimekit/messages__missing-subtype.eml": "type",
  "mimekit/messages__multipart-digest.eml": "digest",
  "nodemailer-mailparser/decoderended.eml": "delimiter",
  "nodemailer-mailparser/spam.eml": "no-parent",
  "spamassassin-public/spam/00038.8d93819b95ff90bf2e2b141c2909bfc9.eml": "delimiter",
  "spamassassin-tests/nice__mime8.eml": "type",
  "spamassassin-tests/spam__badctype1.eml": "type",
  "stalwart-mail-parser/malformed__000.eml": "delimiter",
  "stalwart-mail-parser/malformed__004.eml": "delimiter",
  "stalwart-mail-parser/malformed__007.eml": "delimiter",
  "stalwart-mail-parser/malformed__008.eml": "delimiter",
  "stalwart-mail-parser/malformed__009.eml": "delimiter",
  "stalwart-mail-parser/malformed__012.eml": "delimiter",
  "stalwart-mail-parser/malformed__016.eml": "delimiter",
  "stalwart-mail-parser/malformed__017.eml": "type",
  "stalwart-mail-parser/malformed__020.eml": "delimiter",
  "stalwart-mail-parser/malformed__021.eml": "delimiter",
  "stalwart-mail-parser/rfc__004.eml": "digest",
  "stalwart-mail-parser/rfc__007.eml": "delimiter",
  "stalwart-mail-parser/thirdparty__007.eml": "digest",
};

interface Found {
  readonly type: string;
  readonly headerStart: number;
  readonly bodyStart: number;
  /** -1: the splitter gave no octet of it. */
  bodyEnd: number;
}

async function splitParts(bytes: Buffer, splitter: Transform): Promise<readonly Found[]> {
  const found = new Map<SplitNode, Found>();
  let at = 0;
  splitter.on("data", (chunk: SplitChunk) => {
    if (chunk.type === "node") {
      const bodyStart = at + chunk._headerlen;
      found.set(chunk, { type: chunk.contentType, headerStart: at, bodyStart, bodyEnd: -1 });
      at = bodyStart;
      return;
    }
    at += chunk.value.length;
    const part = found.get(chunk.node);
    if (chunk.type === "body" && part !== undefined) part.bodyEnd = at;
  });
  splitter.end(bytes);
  await once(splitter, "end");
  return [...found.values()];
}

/** Our tree as the splitter walks it: an attached message is not entered. */
function ourParts(part: MimePart): readonly MimePart[] {
  const closed = part.kind === "message" && part.disposition?.type === "attachment";
  return [part, ...(closed ? [] : part.children.flatMap(ourParts))];
}

function describeParts(
  parts: ReadonlyArray<{ type: string; headerStart: number; bodyStart: number }>,
): string {
  return parts.map(part => `${part.type}@${part.headerStart}-${part.bodyStart}`).join(" ");
}

function compare(bytes: Buffer, theirs: readonly Found[]): string | undefined {
  const ours = ourParts(scan(bytes, 4096).root);
  const shown = ours.map(p => ({ ...p, type: p.declaredType ?? `${p.type}/${p.subtype}` }));
  if (describeParts(shown) !== describeParts(theirs))
    return `${describeParts(shown)} | ${describeParts(theirs)}`;
  for (const [index, part] of ours.entries()) {
    const end = theirs[index]?.bodyEnd ?? -1;
    // The splitter counts a body that is one line break as two octets; RFC 2046 gives that break to the delimiter.
    const onlyBreak = part.bodyEnd === part.bodyStart && end - part.bodyStart <= 2;
    if (part.kind === "leaf" && end !== -1 && end !== part.bodyEnd && !onlyBreak)
      return `body ${part.bodyEnd} | ${end}`;
  }
  return undefined;
}

const corpus = corpusFolder();
const skip = corpus === undefined ? "no mail corpus (set MAIRUST_CORPUS)" : false;

/** The corpus holds LF and CRLF files; stored mail has CRLF. */
function stored(file: string): Buffer {
  return octets(readFileSync(file).toString("latin1").replace(/\r?\n/g, "\r\n"));
}

test("MessageScanner agrees with an independent parser on parts and offsets of the mail corpus", {
  skip,
}, async () => {
  const { Splitter } = loadSplitter();
  const folder = corpus ?? "";
  const differing: Record<string, string> = {};
  for (const file of corpusFiles(folder)) {
    const bytes = stored(file);
    const theirs = await splitParts(bytes, new Splitter({ defaultInlineEmbedded: true }));
    const difference = compare(bytes, theirs);
    if (difference !== undefined) differing[relative(folder, file)] = difference;
  }
  const unexpected = Object.entries(differing).filter(([file]) => !(file in DIFFERENCES));
  assert.deepEqual(unexpected, []);
  assert.deepEqual(
    Object.keys(DIFFERENCES).sort(),
    Object.keys(differing).sort(),
    "a listed difference is gone",
  );
});

test("every message of the mail corpus, as it is and with CRLF, holds all invariants", { skip }, () => {
  const files = corpusFiles(corpus ?? "");
  for (const file of files) {
    const raw = readFileSync(file);
    // The full check scans four times: large messages would take the time of all others together.
    if (raw.length < 4000) run(raw);
    scan(raw, 1000);
    scan(stored(file));
  }
});
