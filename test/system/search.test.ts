/** Search over the text of delivered mail with the real service, and after it was killed. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { createTransport } from "nodemailer";
import { makeScratch } from "../../src/mailhost/scratch.ts";
import { type Sidecar, startSidecar } from "../lib/sidecar.ts";

const USER = "taro@example.test";
const UNTIL_MS = 180_000;
let scratch: { readonly dir: string; remove(): Promise<void> };
let sidecar: Sidecar;

before(async () => {
  scratch = await makeScratch();
  sidecar = await startSidecar({ dir: join(scratch.dir, "s") });
});
after(async () => {
  await sidecar?.stop();
  await scratch?.remove();
});

async function deliver(raw: string): Promise<void> {
  const transport = createTransport({
    host: "127.0.0.1",
    port: sidecar.lmtpPort,
    lmtp: true,
    ignoreTLS: true,
  });
  await transport.sendMail({
    envelope: { from: "a@example.org", to: [USER] },
    raw: Buffer.from(raw, "latin1"),
  });
  transport.close();
}

async function foundBy(query: string): Promise<string> {
  const end = performance.now() + UNTIL_MS;
  for (;;) {
    const { code, stdout, stderr } = await sidecar.mairust(["msg", "search", "-f", "tab", "--", query]);
    assert.equal(code, 0, stderr);
    if (stdout.length > 0) return stdout.toString();
    assert.ok(performance.now() < end, `"${query}" finds nothing:\n${sidecar.logText()}`);
  }
}

test("a Japanese message in ISO-2022-JP is found by two characters of its body", async () => {
  await deliver(
    "Subject: minutes\r\nContent-Type: text/plain; charset=ISO-2022-JP\r\n\r\n\x1b$B2q5D$O;0;~$+$i\x1b(B\r\n",
  );
  assert.match(await foundBy("会議"), /minutes/u);
  assert.match(await foundBy("三時"), /minutes/u);
});

test("mail that was answered 250 right before the service was killed is found by its text after the next start", async () => {
  await Promise.all(
    Array.from({ length: 20 }, (_, n) => deliver(`Subject: killed ${n}\r\n\r\nplatypus number ${n}x\r\n`)),
  );
  await sidecar.kill();
  await sidecar.restart();
  for (const n of [0, 7, 19]) assert.match(await foundBy(`"platypus number ${n}x"`), /killed/u);
});
