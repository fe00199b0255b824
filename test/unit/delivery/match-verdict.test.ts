import assert from "node:assert/strict";
import { test } from "node:test";
import { parseMailAddress } from "../../../src/core/envelope.ts";
import type { VerdictRecord } from "../../../src/core/ports/verdicts.ts";
import { matchVerdict } from "../../../src/delivery/match-verdict.ts";

/** @param seen  recipient, ORCPT and a tag by which the verdict is known */
function record(uniform: boolean, ...seen: readonly (readonly [string, string, string])[]): VerdictRecord {
  const decision = { action: "deliver" } as VerdictRecord["verdicts"][number]["decision"];
  return {
    traceId: "t",
    queueId: "q",
    point: "pre_receive",
    mailFrom: "",
    uniform,
    verdicts: seen.map(([recipient, orcpt, tag]) => ({
      recipient,
      orcpt,
      decision: { ...decision, tags: [tag] },
    })),
    expiresAt: new Date(),
  };
}
const tagOf = (of: VerdictRecord, address: string, orcpt?: string) =>
  matchVerdict(of, { address: parseMailAddress(address), ...(orcpt === undefined ? {} : { orcpt }) })
    ?.decision.tags[0];

const ALIAS = ["sales@a.test", "", "sales"] as const;
const ANN = ["Ann@a.test", "", "ann"] as const;

test("a verdict is found by address, by the address before aliases, and by the client's ORCPT", () => {
  const seen = record(false, ALIAS, ANN, ["bob@a.test", "rfc822;list@far.test", "bob"]);
  assert.equal(tagOf(seen, "ann@A.test"), "ann");
  assert.equal(tagOf(seen, "ann@a.test", "rfc822;sales@a.test"), "sales", "the alias, not the member");
  assert.equal(tagOf(seen, "cid@a.test", "rfc822;Sales@a.test"), "sales");
  assert.equal(tagOf(seen, "bob@a.test", "rfc822;list@far.test"), "bob");
  assert.equal(tagOf(seen, "dan@a.test", "rfc822;list@far.test"), "bob");
  assert.equal(tagOf(seen, "bob@a.test"), "bob", "the MTA has dropped the ORCPT");
  assert.equal(tagOf(seen, "dan@a.test"), undefined);
  assert.equal(tagOf(seen, "dan@a.test", "rfc822;dan@a.test"), undefined);
});

test("a verdict for all serves anybody", () => {
  assert.equal(tagOf(record(true, ALIAS), "new@a.test"), "sales");
});

test("where two verdicts fit and differ none does", () => {
  const seen = record(false, ["x@a.test", "rfc822;ann@a.test", "x"], ANN);
  assert.equal(tagOf(seen, "y@a.test", "rfc822;ann@a.test"), undefined);
  assert.equal(tagOf(seen, "ann@a.test", "rfc822;ann@a.test"), "ann", "the whole pair fits one alone");
  assert.equal(
    tagOf(record(false, ANN, ["ann@a.test", "", "ann"]), "ann@a.test"),
    "ann",
    "they do not differ",
  );
});
