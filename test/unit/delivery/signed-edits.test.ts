/**
 * No edit that we make breaks a signature that held before, unless the policy allows it: generated mail, signed in many ways, edited as
 * the milter edits it, and verified before and after.
 */
import assert from "node:assert/strict";
import { createHash, generateKeyPairSync, sign } from "node:crypto";
import { test } from "node:test";
import * as fc from "fast-check";
import { sealMessage } from "mailauth/lib/arc/index.js";
import { dkimSign } from "mailauth/lib/dkim/sign.js";
import { blobDigest } from "../../../src/core/ids.ts";
import { headerFields } from "../../../src/core/mime/header.ts";
import { packStructure } from "../../../src/core/mime/packed.ts";
import { MessageScanner } from "../../../src/core/mime/scanner.ts";
import {
  type EditRules,
  type SafeEdits,
  type SignedMail,
  safeEdits,
} from "../../../src/delivery/message-edits.ts";
import { signedHeader } from "../../../src/delivery/sender-auth-canonical.ts";
import { evaluate } from "../../../src/delivery/sender-auth-evaluate.ts";
import { deadlineAfter } from "../../../src/platform/deadline.ts";

const RSA = generateKeyPairSync("rsa", { modulusLength: 1024 });
const PEM = RSA.privateKey.export({ type: "pkcs1", format: "pem" }).toString();
const RECORD = `v=DKIM1; p=${RSA.publicKey.export({ type: "spki", format: "der" }).toString("base64")}`;
const RUNS = 80;

interface Sealed {
  readonly kind: "library" | "oversigned" | "arc";
  readonly header: "simple" | "relaxed";
  readonly body: "simple" | "relaxed";
  readonly length: boolean;
  readonly names: readonly string[];
}

const NAMES = ["X-Spam", "X-Other", "Subject", "Content-Type"];
const sealed: fc.Arbitrary<Sealed> = fc.record({
  kind: fc.constantFrom("library", "oversigned", "arc"),
  header: fc.constantFrom("simple", "relaxed"),
  body: fc.constantFrom("simple", "relaxed"),
  length: fc.boolean(),
  names: fc.subarray(NAMES),
});
const line = fc.stringMatching(/^[ -~]{0,40}$/u).map(text => text.replace(/^[.-]/u, "x"));
const mail = fc.record({
  html: fc.boolean(),
  lines: fc.array(line, { maxLength: 6 }),
  spam: fc.boolean(),
  signatures: fc.array(sealed, { minLength: 1, maxLength: 3 }),
  headers: fc.subarray(["X-Spam", "X-Other", "X-New"]),
  append: fc.boolean(),
});

function plain({ html, lines, spam }: { html: boolean; lines: readonly string[]; spam: boolean }): Buffer {
  const fields = [
    ...["From: a@signer.test", "To: b@example.test", "Subject:  two  blanks", "MIME-Version: 1.0"],
    html ? "Content-Type: text/html; charset=utf-8" : "Content-Type: text/plain; charset=us-ascii",
    ...(spam ? ["X-Spam: no"] : []),
  ];
  const body = html ? `<html><body>${lines.join("\r\n")}</body></html>` : lines.join("\r\n");
  return Buffer.from(`${fields.join("\r\n")}\r\n\r\n${body}\r\n`);
}

async function signedMail(bytes: Buffer, { kind, header, body, length, names }: Sealed): Promise<Buffer> {
  const canonicalization = `${header}/${body}`;
  if (kind === "arc") {
    const seal = { signingDomain: "signer.test", selector: "s", privateKey: PEM, algorithm: "rsa-sha256" };
    const all = { ...seal, authResults: "mx.test; none", cv: "none" };
    const isSealed = bytes.toString("latin1").includes("ARC-Seal:");
    return isSealed ? bytes : Buffer.concat([await sealMessage(bytes, all), bytes]);
  }
  if (kind === "oversigned") return Buffer.concat([oversigned(bytes, header, names), bytes]);
  // The library's declarations ask for more than it does.
  const { signatures } = await dkimSign(bytes, {
    canonicalization,
    signatureData: [
      {
        ...{ signingDomain: "signer.test", selector: "s", privateKey: PEM },
        ...(length ? { maxBodyLength: 10_000 } : {}),
      },
    ],
    headerList: ["From", ...names].join(":"),
  } as never);
  return Buffer.concat([Buffer.from(signatures), bytes]);
}

/** Each name once more than it stands there. The body as it is, which ends with CRLF. */
function oversigned(bytes: Buffer, canonical: "simple" | "relaxed", names: readonly string[]): Buffer {
  const fields = [...headerFields(bytes)];
  const list = ["from", ...names.map(name => name.toLowerCase())].flatMap(name => [
    ...fields.filter(one => one.name === name).map(() => name),
    name,
  ]);
  const body = bytes.subarray(bytes.indexOf("\r\n\r\n") + 4);
  const text = body.toString("latin1").replace(/(?:\r\n)*$/u, "\r\n");
  const bh = createHash("sha256").update(text, "latin1").digest("base64");
  const field = `DKIM-Signature: v=1; a=rsa-sha256; c=${canonical}/simple; d=signer.test; s=s;\r\n\th=${list.join(":")};\r\n\tbh=${bh}; b=`;
  const data = signedHeader(bytes, fields, list, field, canonical === "relaxed");
  return Buffer.from(`${field}${sign("sha256", data, RSA.privateKey).toString("base64")}\r\n`);
}

/** Of each signature and of the chain. */
async function verdicts(bytes: Buffer): Promise<readonly string[]> {
  async function* content() {
    yield bytes;
  }
  const subject = { checks: ["dkim", "arc"], mailFrom: "", mta: "mx.test" } as const;
  const { dkim = [], arc } = await evaluate(subject, content(), async () => [[RECORD]]);
  return [...dkim.map(({ result }) => result), arc?.result ?? ""];
}

async function edit(
  bytes: Buffer,
  headers: readonly string[],
  append: boolean,
  policy: SignedMail,
): Promise<SafeEdits> {
  const scanner = new MessageScanner({ depth: 300, parts: 3000 });
  scanner.write(bytes);
  const structure = scanner.end();
  async function* read(range?: { readonly start: number; readonly end: number }) {
    yield bytes.subarray(range?.start ?? 0, range?.end ?? bytes.length);
  }
  const rules: EditRules = {
    signedMail: () => policy,
    acquire: async () => () => undefined,
    denied: () => undefined,
  };
  const message = {
    header: structure.headerHead,
    structure: packStructure(structure),
    content: { digest: blobDigest("x"), sizeBytes: bytes.length, read },
  };
  const wanted = {
    headers: headers.map(name => [name, "1"] as const),
    appendText: append ? [{ plain: "footer", html: "<p>footer</p>" }] : [],
  };
  const deadline = deadlineAfter(10_000);
  try {
    return await safeEdits(message, wanted, rules, deadline);
  } finally {
    deadline.dispose();
  }
}

/** What the MTA makes of it. */
function applied(bytes: Buffer, { headers, fields, body }: SafeEdits): Buffer {
  const end = bytes.indexOf("\r\n\r\n") + 2;
  const seen = new Map<string, number>();
  const kept = [...headerFields(bytes)].map(field => {
    const nth = (seen.get(field.name) ?? 0) + 1;
    seen.set(field.name, nth);
    const change = fields.find(one => one.name.toLowerCase() === field.name && one.index === nth);
    if (change === undefined) return bytes.subarray(field.start, field.end).toString("latin1");
    return change.value === "" ? "" : `${field.nameRaw}: ${change.value}\r\n`;
  });
  const added = [
    ...headers.map(([name, value]) => `${name}: ${value}\r\n`),
    ...fields.flatMap(one => (one.index === undefined ? [`${one.name}: ${one.value}\r\n`] : [])),
  ];
  const head = Buffer.from(`${[...kept, ...added].join("")}\r\n`, "latin1");
  return Buffer.concat([head, ...(body ?? [bytes.subarray(end + 2)])]);
}

test("what held before an edit holds after it; what was refused is told", async () => {
  const counts = { held: 0, edited: 0, refused: 0 };
  await fc.assert(
    fc.asyncProperty(mail, async one => {
      let bytes = plain(one);
      for (const way of one.signatures) bytes = await signedMail(bytes, way);
      const before = await verdicts(bytes);
      if (before.includes("pass")) counts.held++;
      const safe = await edit(bytes, one.headers, one.append, "refuse");
      const after = await verdicts(applied(bytes, safe));
      for (const [i, result] of before.entries()) if (result === "pass") assert.equal(after[i], "pass");
      assert.equal(
        safe.headers.length + safe.report.skipped.filter(({ item }) => item === "headers").length,
        one.headers.length,
      );
      if (safe.headers.length > 0 || safe.body !== undefined) counts.edited++;
      if (safe.report.skipped.length > 0) counts.refused++;
    }),
    { numRuns: RUNS },
  );
  assert.ok(
    counts.held > RUNS / 2 && counts.edited > RUNS / 20 && counts.refused > RUNS / 20,
    JSON.stringify(counts),
  );
});

test("allowed edits do break signatures: the property above can fail", async () => {
  const counts = { broken: 0 };
  await fc.assert(
    fc.asyncProperty(mail, async one => {
      let bytes = plain(one);
      for (const way of one.signatures) bytes = await signedMail(bytes, way);
      const before = await verdicts(bytes);
      const after = await verdicts(applied(bytes, await edit(bytes, one.headers, one.append, "allow")));
      if (before.some((result, i) => result === "pass" && after[i] !== "pass")) counts.broken++;
    }),
    { numRuns: 25 },
  );
  assert.ok(counts.broken > 2, JSON.stringify(counts));
});
