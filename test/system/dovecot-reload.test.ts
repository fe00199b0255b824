/**
 * A real Dovecot that is told to read its settings anew, again and again, while mail is handed to it: each message is there once, and each
 * was answered. Without the pause it answers 421 to some that it has saved.
 */
import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { parseMailAddress } from "../../src/core/envelope.ts";
import { createNextHops } from "../../src/delivery/relay/next-hops.ts";
import { startDovecot } from "../../src/mailhost/dovecot.ts";
import { makeScratch } from "../../src/mailhost/scratch.ts";
import { deadlineAfter } from "../../src/platform/deadline.ts";
import { reloadDovecot } from "../../src/site/dovecot-reload.ts";
import { messagesOf, withImap } from "../lib/walk-reader.ts";

const USER = { address: "ann@example.test", password: "secret" };
const SENDERS = 3;
const RELOADS = 15;
const ALL_MS = 120_000;

test("Dovecot is reloaded while nothing is handed to it: no message is unanswered, none is there twice", async t => {
  const scratch = await makeScratch();
  const end = deadlineAfter(ALL_MS);
  await mkdir(join(scratch.dir, "d"));
  const dovecot = await startDovecot(
    { dir: join(scratch.dir, "d"), mode: { kind: "maildir" }, users: [USER] },
    end,
  );
  const hops = createNextHops({ hostname: "mail.example.test" });
  t.after(async () => {
    hops.close();
    end.dispose();
    await dovecot.stop();
    await scratch.remove();
  });
  const answered = new Map<string, number | undefined>();
  const deliver = async (id: string) => {
    const body = Buffer.from(`Message-ID: <${id}@example.org>\r\nSubject: ${id}\r\n\r\ntext\r\n`);
    const replies = await hops.deliver(
      `inet:127.0.0.1:${dovecot.lmtpPort}`,
      {
        mailFrom: parseMailAddress("s@example.org"),
        recipients: [{ address: parseMailAddress(USER.address) }],
        ...{ dsn: {}, client: {}, body8bit: false, smtpUtf8: false, top: Buffer.alloc(0) },
        sizeBytes: body.length,
        async *content() {
          yield body;
        },
      },
      end,
    );
    answered.set(id, replies[0]?.code);
  };
  let isOver = false;
  const senders = Array.from({ length: SENDERS }, async (_, sender) => {
    for (let i = 0; !isOver; i += 1) await deliver(`${sender}-${i}`);
  });
  for (let i = 0; i < RELOADS; i += 1) {
    const before = answered.size;
    assert.equal(await hops.pause(ALL_MS, end), true);
    await reloadDovecot(["-c", dovecot.configFile]);
    hops.resume();
    // All are in the midst of their mail again.
    while (answered.size < before + 4 * SENDERS) await new Promise(resolve => setImmediate(resolve));
  }
  isOver = true;
  await Promise.all(senders);
  assert.deepEqual(
    [...answered].filter(([, code]) => code !== 250),
    [],
  );
  const { messages } = await withImap(dovecot.imapPort, { user: USER.address, pass: USER.password }, client =>
    messagesOf(client, "INBOX"),
  );
  assert.deepEqual(messages.map(({ id }) => id).sort(), [...answered.keys()].sort());
});
