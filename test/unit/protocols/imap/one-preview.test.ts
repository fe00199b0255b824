/** A message has one preview, whether a job made it beforehand or FETCH makes it when asked. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { planIndex } from "../../../../src/core/mail-text/index-plan.ts";
import { indexText } from "../../../../src/core/mail-text/index-text.ts";
import { SeededRandom } from "../../../lib/random.ts";
import { oddMail } from "../../../lib/search-mail.ts";
import { startTestServer, type TestServer } from "./harness.ts";
import type { MemoryMailbox } from "./memory-store.ts";

const servers: TestServer[] = [];
after(() => Promise.all(servers.map(server => server.close())));

const multipart = (type: string, ...parts: readonly string[]) =>
  `Content-Type: multipart/${type}; boundary=b\r\n\r\n${parts.map(part => `--b\r\n${part}\r\n`).join("")}--b--\r\n`;

/** @returns what the job would keep */
function jobPreview(inbox: MemoryMailbox, uid: number, bytes: Buffer): string {
  const row = inbox.row(uid);
  assert.ok(row !== undefined);
  const { pieces } = planIndex(row.structure, row.headerBytes);
  return indexText(pieces.map(piece => ({ ...piece, bytes: bytes.subarray(piece.start, piece.end) })))
    .preview;
}

test("the preview of a job and that of FETCH are the same", async () => {
  const server = await startTestServer();
  servers.push(server);
  const { inbox } = server.store;
  const random = new SeededRandom(7);
  const mails: Buffer[] = [
    multipart("encrypted", "\r\nVersion: 1"),
    multipart("mixed", "Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\ninner text"),
    multipart(
      "mixed",
      "Content-Type: text/html\r\n\r\n<p>own</p>",
      "Content-Type: message/rfc822\r\n\r\n\r\ninner",
    ),
    multipart("signed", "\r\nsigned text", "Content-Type: text/plain\r\n\r\nbehind"),
    "Content-Type: text/plain\r\n\r\n\x82\xb1\x82\xea\x82\xcd\x83\x65\x83\x58\x83\x67\x82\xc5\x82\xb7\r\n",
    "Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: base64\r\n\r\nR3L832U=\r\nR3L832U=\r\n",
    "Content-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\na=\r\nb =3D=zz c  \r\n",
    "Content-Type: text/plain\r\nContent-Transfer-Encoding: x-uuencode\r\n\r\nbegin 644 x\r\n",
    `Content-Type: text/html\r\n\r\n<p>${" ".repeat(70_000)}too late</p>`,
    "Content-Type: text/html; charset=utf-8\r\n\r\n<p>a\x00b</p>",
  ].map(text => Buffer.from(text, "latin1"));
  for (let i = 0; i < 100; i += 1) mails.push(oddMail(random));
  const wanted = mails.map(bytes => jobPreview(inbox, inbox.deliver(bytes), bytes));
  const client = await server.user();
  await client.command("EXAMINE INBOX");
  const told = (await client.command("FETCH 1:* PREVIEW")).slice(0, -1);
  assert.equal(told.length, mails.length);
  for (const [i, preview] of wanted.entries()) {
    const shown = Buffer.from(told[i] ?? "", "latin1").toString();
    const [, text = ""] = /PREVIEW (?:\{\d+\}\r\n)?(.*)\)$/su.exec(shown) ?? [];
    assert.equal(text.startsWith('"') ? JSON.parse(text) : text, preview, `message ${i + 1}: ${mails[i]}`);
  }
  assert.deepEqual(wanted.slice(0, 5), ["", "", "own", "signed text", "これはテストです"]);
});
