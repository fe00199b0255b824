/** `SPECS.md` is true: each rule is first kept by the tree as it is, then seen to find what breaks it. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { packageRoot } from "../../../src/platform/package-root.ts";
import { checkSpecs, citedRfcs, readSources, readSpecs, type SpecFacts } from "../../lib/specs.ts";

const SRC = join(packageRoot(), "src");
const sources = readSources(SRC);
/** The words of `capability.ts`, and whether they work: what a session is told depends on its listener and the parts of the service. */
const words = [
  ...(sources.get("protocols/imap/capability.ts") ?? "").matchAll(
    /\{ word: "([^"]+)"[^}]*\bbuilt: (true|false)/gu,
  ),
];
const wordsThat = (built: string) =>
  new Set(words.flatMap(([, word = "", is]) => (is === built ? [word] : [])));

const facts: SpecFacts = {
  specs: readFileSync(join(SRC, "protocols/SPECS.md"), "utf8"),
  sources,
  announced: wordsThat("true"),
  unbuilt: wordsThat("false"),
};

test("SPECS.md says what the code cites and what the server announces", () => {
  assert.ok(facts.announced.size > 15, "the words of capability.ts are read");
  assert.ok(readSpecs(facts.specs).length > 40, "the tables are read");
  assert.deepEqual(checkSpecs(facts), []);
});

const TABLE = `## IMAP (\`imap/\`)

| document | holds | note |
|---|---|---|
`;
const IDLE = "| RFC 2177 IDLE | yes | |\n";
/** One row and the line that obeys it. */
const kept: SpecFacts = {
  specs: TABLE + IDLE,
  sources: new Map([["protocols/imap/idle.ts", "/** RFC 2177 §3 */"]]),
  announced: new Set(["IDLE"]),
  unbuilt: new Set(["SORT"]),
};

/** Each entry breaks one rule. */
const BROKEN: ReadonlyArray<readonly [breaks: string, facts: Partial<SpecFacts>, said: RegExp]> = [
  [
    "a citation without a row",
    { sources: new Map([...kept.sources, ["protocols/lmtp/a.ts", "// RFC 2033 §4.2"]]) },
    /^protocols\/lmtp\/a\.ts cites RFC 2033, which has no row$/u,
  ],
  [
    "the second of two citations without a row",
    { sources: new Map([...kept.sources, ["protocols/imap/a.ts", "// RFC 2177, 2971."]]) },
    /^protocols\/imap\/a\.ts cites RFC 2971, which has no row$/u,
  ],
  [
    "a claim that no line obeys",
    {
      specs: `${TABLE}${IDLE}| RFC 2342 NAMESPACE | partial | one |\n`,
      announced: new Set(["IDLE", "NAMESPACE"]),
    },
    /^line 6: RFC 2342 is claimed, and nowhere cited$/u,
  ],
  [
    "a claim that is cited in another section's folder",
    { sources: new Map([["protocols/lmtp/idle.ts", "/** RFC 2177 §3 */"]]) },
    /^line 5: RFC 2177 is claimed, and nowhere cited$/u,
  ],
  ["a word without a row", { announced: new Set(["IDLE", "ID"]) }, /^"ID" is announced, and no row says/u],
  [
    "a word whose row says no",
    { specs: TABLE + IDLE.replace("yes", "no") },
    /^line 5: "IDLE" is announced, and the row says no$/u,
  ],
  [
    "a word that is built into the table and not told",
    { specs: `${TABLE}| RFC 2177 IDLE, SORT | yes | |\n` },
    /^line 5: "SORT" is claimed, and not announced$/u,
  ],
  [
    "a word of the registry that is not told",
    { specs: `${TABLE}| RFC 2177 IDLE, NOTIFY | partial | |\n` },
    /^line 5: "NOTIFY" is claimed, and not announced$/u,
  ],
  [
    "a row that says something else",
    { specs: `${TABLE}${IDLE}| RFC 1 X | maybe | |\n` },
    /^line 6: holds "maybe"$/u,
  ],
];

test("checkSpecs() sees every kind of untruth", () => {
  assert.deepEqual(checkSpecs(kept), []);
  for (const [breaks, change, said] of BROKEN) {
    const found = checkSpecs({ ...kept, ...change });
    assert.ok(
      found.some(sentence => said.test(sentence)),
      `${breaks}: ${found.join("; ")}`,
    );
  }
});

test("checkSpecs() passes over tables of other things", () => {
  const items = "\n### Items\n\n| what | holds | note |\n|---|---|---|\n| NOTIFY | yes | |\n";
  assert.deepEqual(checkSpecs({ ...kept, specs: TABLE + IDLE + items }), []);
});

test("checkSpecs() looks where a row says, and in the domain", () => {
  const elsewhere = (note: string, path: string) =>
    checkSpecs({
      ...kept,
      specs: `${TABLE}| RFC 2177 IDLE | yes | ${note} |\n`,
      sources: new Map([[path, "/** RFC 2177 §3 */"]]),
    });
  assert.deepEqual(elsewhere("by `store/idle.ts`", "store/idle.ts"), []);
  assert.deepEqual(elsewhere("", "core/idle.ts"), []);
  assert.equal(elsewhere("", "store/idle.ts").length, 1);
});

test("citedRfcs() reads lists of numbers and no section as one", () => {
  assert.deepEqual(
    [...citedRfcs("RFC 2177, 2971 and 3691; RFC 5321 §4.5.2, 4096 octets. RFC 8438 §2. rfc 1")].sort(),
    [2177, 2971, 3691, 5321, 8438],
  );
});
