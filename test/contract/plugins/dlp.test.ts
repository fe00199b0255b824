/** The sample that looks through mail on its way out, run as its manifest says: its fixtures, 500 made messages, and hostile text. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { packageRoot } from "../../../src/platform/package-root.ts";
import { plantedMail } from "../../lib/dlp-corpus.ts";
import { type Answer, askWorker, assertVerdict, violations } from "../../lib/plugin-answers.ts";
import { payloadOf, pluginFolder, readFixtures, readManifest } from "../../lib/plugin-fixtures.ts";

const NAME = "dlp";
const MESSAGES = 500;
const SEED = 20_261_121;
/** Long enough for every machine; what is not linear takes many times that. */
const PATIENT_MS = 60_000;
const manifest = await readManifest(NAME);
const envelope = { mail_from: "taro@example.com", rcpt_to: ["hanako@example.org"], auth_user: "taro" };

test("every fixture gets its verdict, from payloads that another mail parser made", async () => {
  const fixtures = await readFixtures(NAME);
  const payloads = await Promise.all(fixtures.map(fixture => payloadOf(fixture, manifest)));
  const { answers, health } = await askWorker(NAME, manifest, payloads);
  assert.ok(fixtures.length >= 14);
  for (const [i, { name, expect }] of fixtures.entries())
    assert.doesNotThrow(
      () => assertVerdict(answers[i] ?? {}, expect),
      `${name}: ${JSON.stringify(answers[i])}`,
    );
  assert.deepEqual(health, { status: "ok" });
});

test("of 500 messages every planted number is found, no number with a wrong check digit is, and nothing says what it was", async () => {
  const mails = plantedMail(MESSAGES, SEED);
  const payloads = await Promise.all(
    mails.map(mail => payloadOf({ ...mail, envelope, settings: {} }, manifest)),
  );
  const { answers, log } = await askWorker(NAME, manifest, payloads);
  const wrong = mails.flatMap((mail, i) => {
    const answer = answers[i] ?? {};
    const got = countsOf(answer);
    const isRight =
      got.my_number === mail.myNumbers && got.card === mail.cards && violations(answer).length === 0;
    return isRight ? [] : [{ mail: mail.name, answer, source: mail.source.toString("latin1") }];
  });
  assert.deepEqual(wrong, []);
  assert.ok(mails.filter(({ planted }) => planted.length > 0).length > MESSAGES / 4);
  const said = `${JSON.stringify(answers)}${log}`;
  for (const digits of mails.flatMap(({ planted }) => planted))
    for (const part of [digits, digits.slice(0, 6), digits.slice(-6)]) assert.ok(!said.includes(part));
});

test("text that is made to take time takes none: every search is linear", async () => {
  const many = (text: string, bytes = 200_000) => text.repeat(Math.ceil(bytes / Buffer.byteLength(text)));
  const texts = [
    "1",
    "1 ",
    "11 ",
    "1111 ",
    "4111-",
    "123456789018\n",
    "a\u0301\u0316",
    "\uff9e\u0301",
    "<",
    "<b",
    "<!--",
    "&#1",
  ]
    .map(text => many(text))
    .concat(
      [
        "password:",
        "password: a",
        "eyJ",
        `eyJ${"a".repeat(20)}.`,
        "-----BEGIN ",
        "マイナンバー",
        "sk-",
        "\u200b1",
        "カ",
      ].map(text => many(text)),
    )
    .concat([`a${many("\u0301\u0316", 3_000_000)}`, `${many("eyJaaaaaaaaaaaa")}.x`, `<${many("a ")}`]);
  const payloads = texts.map(text => ({
    api: "mairust.hook/1",
    call_id: "hostile",
    hook: "pre_send",
    mode: "enforce",
    attempt: 1,
    deadline_ms: PATIENT_MS,
    settings: { my_number: "hold", card: "hold", secret: "hold", word: "hold", words: "a, カカカ, 1 1 1 1" },
    body: ["text/plain", "text/html"].map(type => ({ type, text, truncated: false })),
  }));
  const { answers } = await askWorker(NAME, manifest, payloads);
  assert.deepEqual(
    answers.map(answer => violations(answer)),
    texts.map(() => []),
  );
});

test("it is a package of its own: the SDK beside it is the SDK", () => {
  const sdk = readFileSync(join(packageRoot(), "plugins/sdk/node/mairust.mjs"), "utf8");
  assert.equal(readFileSync(join(pluginFolder(NAME), "mairust.mjs"), "utf8"), sdk);
  assert.ok(readdirSync(pluginFolder(NAME)).includes("README.md"));
});

/** As the explanation tells them: `card: 2 in text; my_number: 1 in subject`. */
function countsOf(answer: Answer & { readonly explanation?: string }): { my_number: number; card: number } {
  const count = (rule: string) =>
    Number(new RegExp(`\\b${rule}: (\\d+) in`, "u").exec(answer.explanation ?? "")?.[1] ?? 0);
  const counts = { my_number: count("my_number"), card: count("card") };
  assert.equal(answer.action ?? "deliver", counts.my_number + counts.card > 0 ? "hold" : "deliver");
  return counts;
}
