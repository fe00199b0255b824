/** A client that takes nothing: what waits for it is bounded, and it is cut after a while, be it much or little that waits. */
import assert from "node:assert/strict";
import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import { after, test } from "node:test";
import { CLIENT } from "../../../lib/imap-profiles.ts";
import { startTestServer, type TestServer } from "./harness.ts";
import { PASSWORD } from "./memory-store.ts";

const servers: TestServer[] = [];
after(() => Promise.all(servers.map(server => server.close())));

/** As much of a socket as the server uses; nothing that is written is ever taken. */
class StuckSocket extends Duplex {
  readonly remoteAddress = "192.0.2.1";
  constructor() {
    // Node.js 20's; newer ones take four times as much before they say that they are full.
    super({ writableHighWaterMark: 16_384 });
  }
  setNoDelay(): this {
    return this;
  }
  setKeepAlive(): this {
    return this;
  }
  destroySoon(): void {
    this.destroy();
  }
  override _read(): void {
    // What it sends comes by push alone.
  }
  override _write(): void {
    // Never done.
  }
}

async function stuck(limits: NonNullable<Parameters<typeof startTestServer>[0]>["limits"]) {
  const started = await startTestServer({ limits: { ...limits } });
  servers.push(started);
  const socket = Object.defineProperty(new StuckSocket(), "encrypted", { value: true });
  started.server.handleConnection(socket as unknown as Socket, CLIENT);
  socket.push(`a LOGIN ${started.store.account.address} ${PASSWORD}\r\nb SELECT INBOX\r\nc IDLE\r\n`);
  await until(() => started.store.inbox.listeners.size === 1);
  return { ...started, socket };
}

test("news for who does not read are collected up to a bound", async () => {
  const { store, socket } = await stuck({ outputQueueBytes: 20_000 });
  for (let i = 0; i < 2000; i++) {
    store.inbox.deliver("x");
    await new Promise(resolve => setImmediate(resolve));
  }
  assert.ok(socket.writableLength > 10_000 && socket.writableLength < 24_000, String(socket.writableLength));
  socket.destroy();
});

test("who does not take even a little that waits is cut", async () => {
  const { server, store, socket, recorded } = await stuck({ stallTimeoutMs: 40, sweepMs: 10 });
  await until(() => server.connections() === 0 && recorded.connections === 0);
  assert.ok(socket.destroyed);
  assert.deepEqual([store.inbox.holders, store.inbox.listeners.size], [0, 0]);
});

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise(resolve => setTimeout(resolve, 1));
}
