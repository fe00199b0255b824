import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { run, seeds } from "../../../fuzz/mime-scanner.ts";
import { allParts, bodyOf, message, octets, scan, shape } from "./support.ts";

const MIXED = message(
  "From: a@example.com",
  'Content-Type: multipart/mixed; boundary="b"',
  "",
  "preamble",
  "--b  ",
  "Content-Type: text/html",
  "",
  "one",
  "two",
  "",
  "--b",
  "",
  "--b",
  "Content-Type: message/rfc822",
  "",
  "Subject: inner",
  "",
  "text",
  "--b--",
  "epilogue",
);

test("MessageScanner finds the parts of a multipart with the octets BODY[n] returns", () => {
  const { root, partCount, headerSizeBytes } = scan(MIXED);
  assert.equal(shape(root), "multipart/mixed(text/html,text/plain,message/rfc822(text/plain))");
  assert.equal(partCount, 5);
  assert.equal(headerSizeBytes, root.bodyStart);
  assert.equal(bodyOf(MIXED, root.children[0]), "one\r\ntwo\r\n");
  assert.equal(root.children[0]?.lines, 2);
  assert.equal(bodyOf(MIXED, root.children[1]), "");
  assert.equal(bodyOf(MIXED, root.children[2]), "Subject: inner\r\n\r\ntext");
  assert.equal(root.children[2]?.lines, 2);
  assert.equal(root.children[2]?.children[0]?.envelope?.subject, "inner");
  assert.equal(bodyOf(MIXED, root.children[2]?.children[0]), "text");
});

test("MessageScanner takes messages without body, without header, and without anything", () => {
  assert.equal(scan(octets("")).root.bodyEnd, 0);
  assert.equal(scan(octets("\r\nbody")).headerSizeBytes, 2);
  const headOnly = scan(octets("Subject: x"));
  assert.equal(headOnly.headerSizeBytes, 10);
  assert.equal(headOnly.envelope.subject, "x");
});

test("MessageScanner ends a header line at LF only, and the header block at the first empty line", () => {
  const bytes = octets(
    "From x@y Mon Jan 1 00:00:00\nno colon here\nSubject: a\rb\n\0c\r\r\nTo: d@e\r\n\r\nbody",
  );
  const { envelope, root } = scan(bytes);
  assert.equal(envelope.subject, "a\rb");
  assert.equal(envelope.to, "d@e");
  assert.equal(bodyOf(bytes, root), "body");
});

test("MessageScanner treats leading white space as the continuation of a field before the blob", () => {
  const { envelope } = scan(octets(" rest of a prefix field: x\r\n\tmore\r\nSubject: s\r\n\r\n"));
  assert.equal(envelope.subject, "s");
});

test("MessageScanner takes the longest open boundary that the line begins with", () => {
  const bytes = message(
    "Content-Type: multipart/mixed; boundary=ab",
    "",
    "--ab",
    "Content-Type: multipart/mixed; boundary=a",
    "",
    "--a",
    "",
    "1",
    "--abc",
    "",
    "2",
    "--ab--",
  );
  const { root } = scan(bytes);
  assert.equal(shape(root), "multipart/mixed(multipart/mixed(text/plain),text/plain)");
  assert.equal(bodyOf(bytes, root.children[1]), "2");
});

test("MessageScanner lets an outer delimiter end inner multiparts whose own end is missing", () => {
  const bytes = message(
    "Content-Type: multipart/mixed; boundary=out",
    "",
    "--out",
    "Content-Type: multipart/alternative; boundary=in",
    "",
    "--in",
    "",
    "1",
    "--out",
    "",
    "2",
  );
  const { root } = scan(bytes);
  assert.equal(shape(root), "multipart/mixed(multipart/alternative(text/plain),text/plain)");
  assert.equal(bodyOf(bytes, root.children[0]?.children[0]), "1");
  assert.equal(bodyOf(bytes, root.children[1]), "2\r\n");
});

test("MessageScanner ends a part's header at a delimiter when the empty line is missing", () => {
  const bytes = message(
    "Content-Type: multipart/mixed; boundary=b",
    "",
    "--b",
    "Content-Type: message/rfc822",
    "--b--",
  );
  const { root } = scan(bytes);
  assert.equal(shape(root), "multipart/mixed(message/rfc822(text/plain))");
  assert.equal(bodyOf(bytes, root.children[0]), "");
  run(bytes);
});

test("a message whose header runs into a delimiter ends with the part that holds it", () => {
  const bytes = message(
    "Content-Type: multipart/mixed; boundary=b",
    "",
    "--b",
    "Content-Type: message/rfc822",
    "",
    "Subject: x",
    "--b--",
  );
  const outer = scan(bytes).root.children[0];
  assert.equal(bodyOf(bytes, outer), "Subject: x");
  assert.equal(outer?.children[0]?.envelope?.subject, "x");
  assert.equal(outer?.children[0]?.bodyStart, outer?.bodyEnd);
  run(bytes);
});

test("MessageScanner reads a multipart without boundary or without parts as text", () => {
  for (const head of [
    "Content-Type: multipart/mixed",
    'Content-Type: multipart/mixed; boundary=""',
    "Content-Type: multipart/mixed; boundary=x",
  ]) {
    const { root } = scan(message(head, "", "line", "line"));
    assert.equal(shape(root), "text/plain");
    assert.equal(root.lines, 2);
    assert.deepEqual(root.params, []);
  }
});

test("MessageScanner takes parts of a digest as messages, and an encoded message as an opaque leaf", () => {
  const digest = message(
    "Content-Type: multipart/digest; boundary=b",
    "",
    "--b",
    "",
    "Subject: 1",
    "",
    "x",
    "--b",
    "Content-Type: text/plain",
    "",
    "y",
    "--b--",
  );
  assert.equal(shape(scan(digest).root), "multipart/digest(message/rfc822(text/plain),text/plain)");
  const encoded = scan(
    message("Content-Type: message/rfc822", "Content-Transfer-Encoding: BASE64", "", "U3ViamVjdDogeA=="),
  );
  assert.equal(shape(encoded.root), "application/octet-stream");
  assert.equal(encoded.root.declaredType, "message/rfc822");
});

test("MessageScanner nests message/global like message/rfc822", () => {
  const { root } = scan(message("Content-Type: message/global", "", "Subject: \xe3\x81\x82", "", "x"));
  assert.equal(shape(root), "message/global(text/plain)");
  assert.equal(root.children[0]?.envelope?.subject, "\xe3\x81\x82");
});

test("MessageScanner reports trace fields, ids and the thread key", () => {
  const structure = scan(
    message(
      "Delivered-To: new@example.com",
      "Received: from a (helo id nope) by b (Postfix)",
      "\twith LMTP id 4Xy-Z1",
      "\tfor <u@example.com>; Mon, 1 Jan 2024 00:00:00 +0000",
      "received : from c by d with SMTP id OLD; x",
      "Delivered-To: <old@example.com>",
      "Message-ID: <m@x>",
      "In-Reply-To: <p@x>",
      "References: <root@x>",
      " <p@x>",
      "Subject: one",
      "Subject: two",
      "From: a@b",
      "From: c@d",
      "",
    ),
  );
  assert.equal(structure.receivedCount, 2);
  assert.equal(structure.receivedId, "4Xy-Z1");
  assert.deepEqual(structure.deliveredTo, ["new@example.com", "<old@example.com>"]);
  assert.equal(structure.messageId, "m@x");
  assert.equal(structure.references, "<root@x> <p@x>");
  assert.equal(structure.threadKey, "root@x");
  assert.equal(structure.envelope.subject, "two");
  assert.equal(structure.envelope.from, "a@b, c@d");
  assert.equal(scan(message("In-Reply-To: <p@x>", "Message-ID: <m@x>", "")).threadKey, "p@x");
  assert.equal(scan(message("Subject: x", "")).threadKey, undefined);
});

test("MessageScanner lists attachments with decoded, harmless names and without what is inside attached messages", () => {
  const { attachments } = scan(
    message(
      "Content-Type: multipart/mixed; boundary=b",
      "",
      "--b",
      "Content-Type: text/plain",
      "",
      "text",
      "--b",
      "Content-Type: application/pdf; name=x.pdf",
      "Content-Disposition: ATTACHMENT; filename*0*=utf-8''%E6%97%A5; filename*1*=%E6%9C%AC.pdf",
      "Content-ID: <c1@x>",
      "",
      "JVBERg==",
      "--b",
      'Content-Type: message/rfc822; name="=?utf-8?B?44GC?=.eml"',
      "",
      "Content-Type: application/zip",
      "",
      "zip",
      "--b",
      'Content-Type: text/plain; name="..\\\\..\\\\\xe3\x81\x82\xe2\x80\xaegpj.exe"',
      "",
      "--b--",
    ),
  );
  assert.deepEqual(
    attachments.map(a => [
      a.index,
      a.path.join("."),
      a.filename,
      a.mediaType,
      a.sizeBytes,
      a.disposition,
      a.contentId,
    ]),
    [
      [0, "2", "日本.pdf", "application/pdf", 8, "attachment", "c1@x"],
      [1, "3", "あ.eml", "message/rfc822", 36, undefined, undefined],
      [2, "4", "あgpj.exe", "text/plain", 0, undefined, undefined],
    ],
  );
});

test("MessageScanner hides only real signatures of a signed message from the attachment list", () => {
  const { attachments } = scan(
    message(
      "Content-Type: multipart/signed; boundary=b",
      "",
      "--b",
      "",
      "t",
      "--b",
      "Content-Type: application/pgp-signature",
      "",
      "s",
      "--b",
      "Content-Type: application/zip",
      "",
      "z",
      "--b--",
    ),
  );
  assert.deepEqual(
    attachments.map(a => a.mediaType),
    ["application/zip"],
  );
});

test("MessageScanner hands out the root header block as it is", () => {
  const structure = scan(MIXED, 3);
  assert.deepEqual(structure.headerBytes, MIXED.subarray(0, structure.headerSizeBytes));
});

test("the fuzz target holds for its seeds", () => {
  for (const seed of seeds) run(seed);
});

/** Text that is dense in what the scanner looks at; two thirds of it inside a multipart. */
const dense = fc
  .tuple(
    fc.constantFrom(
      "",
      "Content-Type: multipart/mixed; boundary=a\r\n\r\n",
      "Content-Type: message/rfc822\n\n",
    ),
    fc.array(
      fc.constantFrom(
        ...[
          "\r\n",
          "\n",
          "\r",
          "\r\n\r\n",
          "\0",
          " ",
          "--",
          "-",
          "--a",
          "--ab",
          "--a--",
          "\r\n--a\r\n",
          "\n--ab\n",
        ],
        ...[
          "\r\n--ab--\r\n",
          "x",
          "\xe3\x81",
          "Content-Type: multipart/mixed; boundary=a\r\n\r\n",
          ":",
          "(",
          '"',
          "<",
        ],
        ...[
          'Content-Type: multipart/digest; boundary="ab"\r\n\r\n',
          "Content-Type: message/rfc822\r\n\r\n",
          "Content-Type: message/rfc822\r\n",
          ">",
          ",",
          ";",
        ],
        ...[
          "Content-Type: text/plain; name*0*=x''%\r\n",
          "Subject: =?utf-8?Q?a?=\r\n",
          "@",
          'From: "a" <b@c>, d: e@f;\r\n',
        ],
      ),
      { maxLength: 60 },
    ),
  )
  .map(([head, pieces]) => octets(head + pieces.join("")));

test("any chunking gives the same structure, offsets nest, and what is rendered is valid IMAP", () => {
  fc.assert(
    fc.property(dense, input => run(input)),
    { numRuns: 400 },
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), input => run(input)),
    { numRuns: 100 },
  );
});

test("every node of a scanned tree lies within its parent", () => {
  for (const part of allParts(scan(MIXED).root)) {
    for (const child of part.children) {
      assert.ok(child.headerStart >= part.bodyStart && child.bodyEnd <= part.bodyEnd);
    }
  }
});
