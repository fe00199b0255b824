/**
 * What FETCH says of the parts of odd messages: for every part that BODYSTRUCTURE names, its sizes, BODY[n], BODY[n.MIME],
 * BODY[n.HEADER], BODY[n.TEXT], BINARY[n] and BINARY.SIZE[n] agree with each other, and where Python's email package sees no defect,
 * with what that reads.
 */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import fc from "fast-check";
import { madeMail } from "../../lib/made-mail.ts";
import { madeMessage, pythonReads } from "../../lib/mime-tree.ts";
import { type PythonPart, pythonParts, pythonThere } from "../../lib/python-email.ts";
import { TORTURE } from "../../lib/torture.ts";
import { type ImapValue, readImap } from "../../unit/core/mime/imap-reader.ts";
import { startTestServer, type TestClient, type TestServer } from "../../unit/protocols/imap/harness.ts";

const skip = pythonThere() ? false : "python3 is not installed";
const PREFIX = "Return-Path: <a@b.test>\r\n";
/** Of a message with more parts so many of each end are looked at. */
const PARTS_AT_EACH_END = 40;

const servers: TestServer[] = [];
after(() => Promise.all(servers.map(server => server.close())));

interface Part {
  readonly path: string;
  readonly kind: "leaf" | "multipart" | "message";
  /** Lower case. */
  readonly type: string;
  readonly encoding: string;
  readonly size: number | undefined;
  readonly lines: number | undefined;
}

/** Numbers the parts as RFC 3501 §6.4.5 says. @param isBody  `value` is the body of a message whose number is `path` */
function partsOf(value: ImapValue, path: readonly number[], isBody: boolean): readonly Part[] {
  assert.ok(Array.isArray(value));
  const list = value as readonly ImapValue[];
  if (Array.isArray(list[0])) {
    const children = list.slice(
      0,
      list.findIndex(each => !Array.isArray(each)),
    );
    const type = `multipart/${String(list[children.length]).toLowerCase()}`;
    const own = {
      path: path.join("."),
      kind: "multipart",
      type,
      encoding: "",
      size: undefined,
      lines: undefined,
    } as const;
    const below = children.flatMap((child, i) => partsOf(child, [...path, i + 1], false));
    return isBody ? below : [own, ...below];
  }
  const number = isBody ? [...path, 1] : path;
  const type = `${list[0]}/${list[1]}`.toLowerCase();
  const isMessage = type === "message/rfc822" && Array.isArray(list[8]);
  const lines = isMessage ? list[9] : type.startsWith("text/") ? list[7] : undefined;
  const own: Part = {
    path: number.join("."),
    kind: isMessage ? "message" : "leaf",
    type,
    encoding: String(list[5]).toLowerCase(),
    size: Number(list[6]),
    lines: lines === undefined ? undefined : Number(lines),
  };
  return isMessage ? [own, ...partsOf(list[8] ?? null, number, true)] : [own];
}

/** The values of a FETCH answer, by what was asked for: octets as characters, or a number. */
function valuesOf(
  answer: string,
  labels: readonly string[],
): ReadonlyMap<string, string | number | undefined> {
  const values = new Map<string, string | number | undefined>();
  let at = answer.indexOf("(") + 1;
  for (const label of labels) {
    assert.equal(answer.slice(at, at + label.length + 1), `${label} `);
    at += label.length + 1;
    const [all, digits, plain] = /^(?:~?\{(\d+)\}\r\n|(\d+|NIL))/u.exec(answer.slice(at, at + 40)) ?? [];
    assert.ok(all !== undefined, answer.slice(at, at + 40));
    at += all.length;
    const octets = digits === undefined ? undefined : answer.slice(at, at + Number(digits));
    if (octets !== undefined)
      assert.equal(all.startsWith("~"), label.startsWith("BINARY") && octets.includes("\0"), label);
    values.set(label, octets ?? (plain === "NIL" ? undefined : Number(plain)));
    at += (octets?.length ?? 0) + 1;
  }
  return values;
}

async function fetched(client: TestClient, labels: readonly string[]) {
  const [answer] = await client.command(`FETCH 1 (${labels.join(" ").replaceAll("BODY[", "BODY.PEEK[")})`);
  return valuesOf(answer ?? "", labels);
}

interface FetchedPart extends Part {
  readonly body: string;
  readonly decoded: string | undefined;
}

/** Everything of one message, checked against itself. */
async function checked(client: TestClient, message: Buffer): Promise<readonly FetchedPart[]> {
  await client.command("SELECT INBOX");
  const [structure] = await client.command("FETCH 1 BODYSTRUCTURE");
  const value = readImap(
    Buffer.from((structure ?? "").slice("* 1 FETCH (BODYSTRUCTURE ".length, -1), "latin1"),
  );
  const parts = partsOf(value, [], true);
  const whole = PREFIX + message.toString("latin1");
  const all = await fetched(client, ["BODY[]", "BODY[HEADER]", "BODY[TEXT]", "BINARY[]", "BINARY.SIZE[]"]);
  assert.equal(all.get("BODY[]"), whole);
  assert.equal(all.get("BINARY[]"), whole);
  assert.equal(all.get("BINARY.SIZE[]"), whole.length);
  assert.equal(`${all.get("BODY[HEADER]")}${all.get("BODY[TEXT]")}`, whole);
  const asked =
    parts.length <= 2 * PARTS_AT_EACH_END
      ? parts
      : [...parts.slice(0, PARTS_AT_EACH_END), ...parts.slice(-PARTS_AT_EACH_END)];
  const found: FetchedPart[] = [];
  for (const part of asked) found.push(await checkedPart(client, part, whole));
  return found;
}

async function checkedPart(client: TestClient, part: Part, whole: string): Promise<FetchedPart> {
  const { path } = part;
  const known = ["", "7bit", "8bit", "binary", "base64", "quoted-printable"].includes(part.encoding.trim());
  const binary = known || part.kind !== "leaf" ? [`BINARY[${path}]`, `BINARY.SIZE[${path}]`] : [];
  const labels = [
    `BODY[${path}]`,
    `BODY[${path}.MIME]`,
    `BODY[${path}.HEADER]`,
    `BODY[${path}.TEXT]`,
    ...binary,
  ];
  const got = await fetched(client, labels);
  const body = String(got.get(`BODY[${path}]`));
  const where = `part ${path}`;
  if (part.size !== undefined) assert.equal(body.length, part.size, `${where}: octets`);
  if (part.lines !== undefined)
    assert.equal(body.split("\n").length - 1, part.lines, `${where}: lines ${JSON.stringify([part, body])}`);
  assert.ok(whole.includes(`${got.get(`BODY[${path}.MIME]`)}${body}`), `${where}: header and body are apart`);
  const inner = [got.get(`BODY[${path}.HEADER]`), got.get(`BODY[${path}.TEXT]`)];
  if (part.kind === "message")
    assert.equal(inner.join(""), body, `${where}: header and text of the message inside`);
  // It is a message inside, though IMAP4rev1 has no form for it in BODYSTRUCTURE.
  else if (part.type === "message/global")
    assert.ok(inner[0] === undefined || inner.join("") === body, where);
  else assert.deepEqual(inner, [undefined, undefined], where);
  const decoded = got.get(`BINARY[${path}]`);
  if (binary.length === 0) return { ...part, body, decoded: undefined };
  assert.equal(String(decoded).length, got.get(`BINARY.SIZE[${path}]`), `${where}: BINARY.SIZE`);
  const isPlain = part.kind !== "leaf" || !["base64", "quoted-printable"].includes(part.encoding.trim());
  if (isPlain) assert.equal(decoded, body, `${where}: BINARY`);
  return { ...part, body, decoded: String(decoded) };
}

/** Each in an INBOX of its own. Kept small, what is decoded is decoded twice. */
async function fetchAll(messages: readonly Buffer[], names?: readonly string[]) {
  const all: Array<readonly FetchedPart[]> = [];
  for (const [i, message] of messages.entries()) {
    const server = await startTestServer({ limits: { decodedBytes: i % 2 === 0 ? 8 : 262_144 } });
    servers.push(server);
    server.store.blobs.chunkBytes = [65_536, 777][i % 2] ?? 1;
    server.store.inbox.deliver(message, { prefix: PREFIX });
    const client = await server.user();
    try {
      all.push(await checked(client, message));
    } catch (error) {
      const text = message.toString("latin1", 0, 2000);
      throw new Error(`${names?.[i] ?? "message"}: ${String(error)}: ${JSON.stringify(text)}`, {
        cause: error,
      });
    }
    client.close();
  }
  return all;
}

/** Python keeps white space at line ends of quoted-printable, which is to be deleted (RFC 2045 §6.7, rule 3). */
const withoutPadding = (text: string) => text.replace(/[ \t]+(?=\r?\n)/gu, "");

/** Python's leaves by number, of a message in which it sees no defect. */
function compare(ours: readonly FetchedPart[], theirs: readonly PythonPart[]): void {
  for (const part of ours) {
    // Python enters every message/*: a delivery status (RFC 3464) is not a message, and an encoded one cannot be (RFC 2046 §5.2.1).
    if (part.kind !== "leaf" || part.type.startsWith("message/")) continue;
    const isEncoded = ["base64", "quoted-printable"].includes(part.encoding.trim());
    const same = theirs.filter(({ path }) => path.join(".") === part.path);
    if (isEncoded && same.length > 0 && same.every(({ body }) => body === undefined)) continue;
    const their = same.find(({ body }) => body !== undefined);
    assert.ok(their !== undefined, `part ${part.path} is none for Python`);
    assert.equal(part.body, their.body, `body of ${part.path}`);
    if (their.decoded === undefined) continue;
    assert.equal(withoutPadding(part.decoded ?? ""), withoutPadding(their.decoded), `decoded ${part.path}`);
  }
}

test("hostile messages: every part agrees with itself in every form", async () => {
  await fetchAll(
    TORTURE.map(({ bytes }) => bytes),
    TORTURE.map(({ name }) => name),
  );
});

/** Delimiters of boundaries that begin each other, headers, and what is neither, in any order. */
const oddLine = fc.constantFrom(
  ...[
    "--b",
    "--b--",
    "--bb",
    "--bb--",
    "--b ",
    "--b-",
    "-- b",
    "",
    "",
    "text",
    "\0",
    "caf\xe9",
    "a\rb",
    "a\nb",
  ],
  ...["Content-Type: multipart/mixed; boundary=b", "Content-Type: multipart/digest; boundary=bb"],
  ...[
    "Content-Type: message/rfc822",
    "Content-Type: message/global",
    "Content-Type: text/plain",
    "X-A: \xff\0",
  ],
  ...[
    "Content-Transfer-Encoding: base64",
    "Content-Transfer-Encoding: quoted-printable",
    "aGVsbG8=",
    "=41=\r\n=0",
  ],
);
const oddMessage = fc
  .tuple(fc.constantFrom("b", "bb"), fc.array(oddLine, { maxLength: 30 }))
  .map(([boundary, lines]) =>
    Buffer.from(`Content-Type: multipart/mixed; boundary=${boundary}\r\n\r\n${lines.join("\r\n")}`, "latin1"),
  );

test("random lines of delimiters and headers: every part agrees with itself in every form", async () => {
  await fetchAll(fc.sample(oddMessage, { numRuns: 300, seed: 3 }));
});

const encoded = (i: number) => {
  const octets = Buffer.from(Array.from({ length: i * 37 }, (_, at) => (at * 31 + i) % 256));
  const lines = octets.toString("base64").replace(/.{76}/gu, "$&\r\n");
  const quoted = latin1(octets).replace(
    /[^!-<>-~]/gu,
    char => `=${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`,
  );
  const wrapped = quoted.replace(/(?:=..|[^=]){1,24}/gu, "$&=\r\n");
  const part = (encoding: string, body: string) =>
    `--b\r\nContent-Transfer-Encoding: ${encoding}\r\n\r\n${body}\r\n`;
  const body = part("base64", lines) + part("Quoted-Printable", wrapped) + part("8bit", "caf\xe9");
  return Buffer.from(`Content-Type: multipart/mixed; boundary=b\r\n\r\n${body}--b--\r\n`, "latin1");
};
const latin1 = (bytes: Uint8Array) => Buffer.from(bytes).toString("latin1");

test("parts and what is decoded of them are what Python's email package reads", { skip }, async () => {
  const trees = fc
    .sample(madeMessage, { numRuns: 150, seed: 5 })
    .filter(({ text }) => pythonReads(text))
    .map(({ text }) => Buffer.from(text, "latin1"));
  const messages = [
    ...trees,
    ...madeMail(60).map(({ bytes }) => bytes),
    ...Array.from({ length: 20 }, (_, i) => encoded(i)),
  ];
  const ours = await fetchAll(messages);
  const theirs = await pythonParts(messages);
  let compared = 0;
  for (const [i, parts] of theirs.entries()) {
    if (parts.some(({ defects }) => defects.length > 0)) continue;
    compare(ours[i] ?? [], parts);
    compared += 1;
  }
  assert.ok(compared > 100, `${compared} messages were compared`);
});
