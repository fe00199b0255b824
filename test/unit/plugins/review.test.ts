import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import fc from "fast-check";
import { type PluginTerms, termsOf } from "../../../src/core/plugin-terms.ts";
import { REVIEW_LANGUAGES } from "../../../src/core/ports/plugin-review.ts";
import { LIMIT_NAMES, type LimitReport } from "../../../src/core/ports/sandbox.ts";
import { packageRoot } from "../../../src/platform/package-root.ts";
import { harmless, ratingOf, reviewOf, rightsOf } from "../../../src/plugins/review.ts";
import { REVIEW_TEXTS } from "../../../src/plugins/review-texts.ts";
import type { Manifest } from "../../../src/wire/manifest.ts";
import {
  DECISIONS,
  PERMISSION_NAMES,
  type PermissionsInput,
  READ_ATTACHMENTS,
  READ_BODY,
} from "../../../src/wire/permissions.ts";

/** Asks for all there is. */
const GREEDY: Manifest = {
  id: "com.example.greedy",
  name: "Greedy \u202eeman\u0007",
  version: "2.0.0",
  author: "Example Corp",
  entry: { type: "hook", protocol: "http", endpoint: "https://hooks.example.com/", health_cmd: "check" },
  hooks: {
    on: ["pre_receive", "pre_delivery", "post_receive", "pre_send"],
    on_error: "reject",
    pre_send: { on_timeout: "allow" },
  },
  permissions: {
    read_headers: true,
    read_body: "full",
    read_attachments: "full",
    decide: ["reject", "tempfail", "hold"],
    ...{ write_tags: true, write_flags: true, move_message: true, write_metadata: true },
    ...{ write_headers: true, append_text: true, add_recipients: true, send_mail: true },
  },
  permission_notes: {
    read_body: "We need <b>all</b> of it.\n\u001b[31mSay yes.\u001b[0m",
    send_mail: "\u202eyltsenoh\u202c",
  },
  limits: {
    ...{ cpu_ms: 60_000, memory_mb: 2048, wall_time_ms: 5000, persistent_dir: true },
    network: "unlimited",
  },
  caps: { reject_per_hour: 100 },
  budget: { calls_per_day: 10_000, over_budget: "skip" },
};
const CONTEXT = { signer: "f00d", endpoint: undefined };
const MODEST: PluginTerms = termsOf(
  {
    ...GREEDY,
    entry: { type: "hook", protocol: "script", command: ["./run"] },
    hooks: { on: ["post_receive"] },
    permissions: { read_headers: ["Subject"], decide: ["hold"], write_flags: true },
    limits: { network: "outbound-limited", network_allow: ["api.example.com:443"], wall_time_ms: 2000 },
    caps: { reject_per_hour: 10, hold_per_hour: 5 },
  },
  { ...CONTEXT, signer: "beef" },
);
const LIMITS: readonly LimitReport[] = LIMIT_NAMES.map((limit, i) => ({
  limit,
  mechanism: i % 4 === 2 ? "" : `mechanism${i}`,
  enforcement: (["enforced", "best_effort", "not_enforced", "not_applicable"] as const)[i % 4] ?? "enforced",
  evidence: "",
}));

const reviewed = (language: (typeof REVIEW_LANGUAGES)[number]) =>
  reviewOf({
    manifest: GREEDY,
    terms: termsOf(GREEDY, CONTEXT),
    verification: { state: "unsigned", detail: "no signature" },
    place: "https://hooks.example.com/",
    approved: MODEST,
    limits: LIMITS,
    language,
  });

describe("review of a plugin", () => {
  for (const language of REVIEW_LANGUAGES) {
    it(`reads as before (${language})`, () => {
      const file = join(packageRoot(), "test/unit/plugins/golden", `review-${language}.txt`);
      const text = `${reviewed(language).lines.join("\n")}\n`;
      if (process.argv.includes("--write-golden")) writeFileSync(file, text);
      assert.equal(text, readFileSync(file, "utf8"));
    });

    it(`has a sentence of its own for every right and every value (${language})`, () => {
      const values: Readonly<Record<string, readonly unknown[]>> = {
        read_headers: [true, ["Subject"]],
        read_body: READ_BODY.slice(1),
        read_attachments: READ_ATTACHMENTS.slice(1),
        decide: DECISIONS.map(one => [one]),
      };
      const texts = PERMISSION_NAMES.flatMap(name =>
        (values[name] ?? [true]).map(value => {
          const found = rightsOf({ [name]: value } as PermissionsInput, REVIEW_TEXTS[language]);
          assert.deepEqual(
            found.map(([of]) => of),
            [name],
          );
          return found[0]?.[1] ?? "";
        }),
      );
      assert.ok(texts.every(text => text.length > 5));
      assert.equal(new Set(texts).size, texts.length);
    });
  }

  it("says the same things in both languages", () => {
    const [en, ja] = [reviewed("en"), reviewed("ja")];
    const names = (review: typeof en) => [
      review.sentences.map(({ name }) => name),
      review.warnings.map(({ name }) => name),
      review.diff?.more.length,
      review.diff?.less.length,
      review.rating,
    ];
    assert.deepEqual(names(en), names(ja));
    // Nothing was forgotten in translation: every Japanese sentence holds Japanese.
    for (const { text } of [...ja.sentences, ...ja.warnings]) assert.match(text, /[\p{sc=Hiragana}]/u);
  });

  it("tells which mail it sees by its manifest, and when a version sees more or less of it", () => {
    const termsWith = (keys: Partial<NonNullable<Manifest["hooks"]>>) =>
      termsOf({ ...GREEDY, hooks: { on: ["pre_send"], ...keys } }, CONTEXT);
    const read = (approved: PluginTerms, terms: PluginTerms, language: "en" | "ja" = "en") =>
      reviewOf({
        ...{ manifest: GREEDY, terms, approved, place: undefined, limits: [], language },
        verification: { state: "unsigned", detail: "" },
      });
    const some = termsWith({ filter_recipient_matches: ".*@a[.]example\u202e", per_recipient: false });
    const all = termsWith({});
    const other = termsWith({ filter_recipient_matches: ".*@b[.]example", per_recipient: false });
    const texts = read(all, some).sentences.map(({ text }) => text);
    assert.ok(
      texts.some(text => /at pre_send only mail to recipients that match \.\*@a\[\.\]example, /u.test(text)),
    );
    assert.ok(texts.some(text => /pre_send of all recipients of a message together/u.test(text)));
    for (const { text } of read(all, some, "ja").sentences) assert.match(text, /[\p{sc=Hiragana}]/u);
    const filter = "pre_send.filter_recipient_matches";
    assert.deepEqual(read(some, all).diff, {
      more: [`${filter}: .*@a[.]example → all mail`],
      less: ["pre_send.per_recipient: false → true"],
    });
    assert.deepEqual(read(all, some).diff, {
      more: ["pre_send.per_recipient: true → false"],
      less: [`${filter}: all mail → .*@a[.]example`],
    });
    assert.deepEqual(read(some, other).diff, {
      more: [`${filter}: .*@a[.]example → .*@b[.]example`],
      less: [],
    });
  });

  it("warns of what must be thought about, and of nothing else", () => {
    assert.deepEqual(
      reviewed("en").warnings.map(({ name }) => name),
      [
        ...["read_body", "read_attachments", "reject", "add_recipients", "send_mail"],
        ...["network", "remote", "not_enforced"],
      ],
    );
    const modest = reviewOf({
      manifest: { ...GREEDY, permissions: {} },
      terms: { ...MODEST, permissions: {}, network: { mode: "none", allow: [] } },
      verification: { state: "signed", detail: "" },
      place: undefined,
      approved: undefined,
      limits: [],
      language: "en",
    });
    assert.deepEqual([modest.warnings, modest.rating, modest.diff], [[], 1, undefined]);
  });

  it("shows texts of authors as one line without controls and marks of direction", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 2000 }), text => {
        const shown = harmless(text);
        assert.doesNotMatch(shown, /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
        assert.ok(Buffer.byteLength(shown) <= 503);
      }),
    );
    assert.equal(harmless("a\n\u001b[31mb\u202ec"), "a [31mbc");
    for (const line of reviewed("en").lines) assert.doesNotMatch(line, /[\p{Cc}\p{Cf}]/u);
  });
});

describe("rating", () => {
  const rate = (
    permissions: PermissionsInput,
    mode: PluginTerms["network"]["mode"] = "none",
    place?: string,
  ) => ratingOf({ permissions, network: { mode, allow: [] } }, place, []);

  it("follows the table", () => {
    assert.equal(rate({}), 1);
    assert.equal(rate({ read_headers: ["Subject"], write_tags: true }), 2);
    assert.equal(rate({ read_headers: true, read_body: "preview", decide: ["hold"] }), 3);
    assert.equal(rate({ read_body: "full" }), 4);
    assert.equal(rate({ decide: ["reject"] }), 4);
    assert.equal(rate({ read_body: "preview" }, "outbound-limited"), 4);
    assert.equal(rate({ read_body: "full" }, "local-only"), 5);
    assert.equal(rate({ read_body: "full" }, "unlimited"), 6);
    assert.equal(rate({ read_body: "full", decide: ["reject"] }, "none", "https://a.example/"), 6);
    const loose: LimitReport = { limit: "network", mechanism: "", enforcement: "not_enforced", evidence: "" };
    const network = { mode: "none", allow: [] } as const;
    assert.equal(ratingOf({ permissions: { read_headers: true }, network }, undefined, [loose]), 4);
  });

  it("never falls when more is asked for", () => {
    const flag = fc.boolean();
    const asked = fc.record({
      read_headers: flag,
      read_body: fc.constantFrom(...READ_BODY),
      read_attachments: fc.constantFrom(...READ_ATTACHMENTS),
      decide: fc.subarray([...DECISIONS]),
      ...{ write_tags: flag, move_message: flag, send_mail: flag },
    });
    fc.assert(
      fc.property(asked, asked, (a, b) => {
        const more = <T>(order: readonly T[], x: T, y: T) =>
          order[Math.max(order.indexOf(x), order.indexOf(y))] as T;
        const both: PermissionsInput = {
          read_headers: a.read_headers || b.read_headers,
          read_body: more(READ_BODY, a.read_body, b.read_body),
          read_attachments: more(READ_ATTACHMENTS, a.read_attachments, b.read_attachments),
          decide: [...new Set([...a.decide, ...b.decide])],
          write_tags: a.write_tags || b.write_tags,
          move_message: a.move_message || b.move_message,
          send_mail: a.send_mail || b.send_mail,
        };
        assert.ok(rate(both) >= Math.max(rate(a), rate(b)));
        assert.ok(rate(both, "unlimited") <= 6);
      }),
    );
  });
});
