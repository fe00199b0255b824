import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { type FuzzOptions, type FuzzResult, fuzz } from "../fuzz/lib/fuzz.ts";
import { TARGETS, targetModule } from "../fuzz/targets.ts";

/** Fixed, so that a failure is one of the code and not of the day. */
const SEED = 7;
/** A busy machine stops any thread for seconds; an endless loop is longer. */
const PATIENT_MS = 30_000;

const findings = mkdtempSync(join(tmpdir(), "mairust-fuzz-"));
after(() => rmSync(findings, { recursive: true, force: true }));

function run(module: string, options: Partial<FuzzOptions>): Promise<FuzzResult> {
  return fuzz({ module, inputs: 20_000, seconds: 3, seed: SEED, findings, ...options });
}

for (const name of TARGETS) {
  test(`${name} holds for its seeds and for what is near them`, async () => {
    const result = await run(targetModule(name), { hangMs: PATIENT_MS });
    assert.deepEqual(
      result.findings.map(({ what, file }) => `${what} ${readFileSync(file, "base64")}`),
      [],
    );
    assert.ok(result.stats.inputs > 0);
    assert.ok(result.stats.covered > 200, `${result.stats.covered} characters of source were reached`);
  });
}

/** Bugs planted in fixtures: a fuzzer that finds nothing proves nothing. */
function planted(name: string, options: Partial<FuzzOptions>): Promise<FuzzResult> {
  return run(import.meta.resolve(`../fuzz/planted/${name}.js`), { seconds: 120, ...options });
}

test("coverage leads the fuzzer to a bug behind four octets, which it does not find without", async () => {
  const inputs = 400_000;
  const blind = await planted("rare-bytes", { inputs, coverage: false });
  assert.deepEqual(blind.findings, []);
  const guided = await planted("rare-bytes", { inputs });
  const [finding] = guided.findings;
  assert.match(finding?.what ?? "", /^RangeError: Cannot read property/u);
  assert.equal(Buffer.from(finding?.input ?? []).toString("hex"), "4d5207b1", "the input is not minimal");
  assert.ok(readFileSync(finding?.file ?? "").equals(Buffer.from(finding?.input ?? [])));
});

test("the fuzzer finds an input that takes too long", async () => {
  const { findings: found } = await planted("quadratic", { slowMs: 100, hangMs: 20_000 });
  assert.match(found[0]?.what ?? "", /^took \d+ ms|^hangs/u);
});

test("the fuzzer finds and cuts an endless loop, and has the input that led there", async () => {
  const { findings: found } = await planted("endless", { hangMs: 500 });
  assert.match(found[0]?.what ?? "", /^hangs: not done after 500 ms/u);
  assert.ok(found[0]?.input.includes(0x28));
});

test("the fuzzer finds memory that is not given back", async () => {
  const { findings: found } = await planted("hoard", { heapMb: 64, inputs: 1_000_000 });
  assert.match(found[0]?.what ?? "", /^\d+ MiB are held: over the memory limit/u);
});

test("the fuzzer finds a rejection that nobody waits for", async () => {
  const { findings: found } = await planted("stray-rejection", { inputs: 2000 });
  assert.match(found[0]?.what ?? "", /TypeError: nobody waits/u);
});

test("one input alone is run again from its file", async () => {
  const input = Buffer.from("xxMR\x07\xb1", "latin1");
  const { findings: found, stats } = await planted("rare-bytes", { replay: [input] });
  assert.equal(stats.inputs, 1);
  assert.equal(found.length, 1);
  assert.ok(readdirSync(findings).some(file => file.startsWith("planted-rare-bytes-")));
});
