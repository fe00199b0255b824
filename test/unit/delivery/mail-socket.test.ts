/** The connection that commands to other mail servers go over. */
import assert from "node:assert/strict";
import { createServer } from "node:net";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { MailSocket } from "../../../src/delivery/mail-socket.ts";

const ROUNDS = 20_000;
/** One promise that each round leaves behind would be far more. */
const ROOM_BYTES = 4 * 1024 * 1024;

test("a connection that is kept open keeps nothing of the replies that were waited for", async t => {
  setFlagsFromString("--expose-gc");
  const gc: () => void = runInNewContext("gc");
  const server = createServer(socket => {
    socket.on("error", () => undefined);
    socket.on("data", () => socket.write("250 ok\r\n"));
  });
  await new Promise<void>(resolve => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  const address = server.address();
  assert(typeof address === "object" && address !== null);
  const socket = new MailSocket(`inet:127.0.0.1:${address.port}`);
  t.after(() => socket.close());
  const rounds = async (count: number) => {
    for (let i = 0; i < count; i++) {
      await socket.write("NOOP\r\n");
      assert.equal((await socket.reply()).code, 250);
    }
    gc();
    return process.memoryUsage().heapUsed;
  };
  const before = await rounds(1_000);
  const grown = (await rounds(ROUNDS)) - before;
  assert.ok(grown < ROOM_BYTES, `${grown} bytes more after ${ROUNDS} replies`);
});

test("who writes to a connection that is over hears it, also while the other side reads nothing", async t => {
  const server = createServer(socket => {
    socket.on("error", () => undefined);
    socket.pause();
    socket.once("readable", () => socket.destroy());
  });
  await new Promise<void>(resolve => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  const address = server.address();
  assert(typeof address === "object" && address !== null);
  const socket = new MailSocket(`inet:127.0.0.1:${address.port}`);
  t.after(() => socket.close());
  const flood = async () => {
    for (;;) await socket.write(Buffer.alloc(1024 * 1024));
  };
  await assert.rejects(flood());
  await assert.rejects(socket.reply());
  await assert.rejects(socket.write("QUIT\r\n"));
});
