/** What FETCH holds of messages that wait for one before them, and for how long it holds up everybody else. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { startTestServer, type TestServer } from "./harness.ts";

const servers: TestServer[] = [];
after(() => Promise.all(servers.map(server => server.close())));

async function started(...headers: readonly string[]) {
  const server = await startTestServer();
  servers.push(server);
  for (const header of headers) server.store.inbox.deliver(`${header}\r\nbody`);
  const client = await server.user();
  await client.command("SELECT INBOX");
  return { ...server, client };
}

const times = (count: number, item: string) => Array.from({ length: count }, () => item).join(" ");

for (const [what, items] of [
  ["selected", times(20, "BODY.PEEK[HEADER.FIELDS.NOT (b)]")],
  ["decoded", times(5, "BINARY.PEEK[1]")],
] as const) {
  test(`what is ${what} counts among the octets that are read ahead`, async () => {
    const header = `X-Long: ${"y".repeat(60_000)}\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n`;
    const { client, store } = await started(...Array.from({ length: 16 }, () => header));
    let opened = 0;
    let release: () => void = () => undefined;
    const held = new Promise<void>(resolve => {
      release = resolve;
    });
    const open = store.blobs.open.bind(store.blobs);
    store.blobs.open = async (digest, range) => {
      opened += 1;
      await held;
      return open(digest, range);
    };
    client.send(`h FETCH 1:* (${items} BODY.PEEK[TEXT])\r\n`);
    await sleep(100);
    const begun = opened;
    release();
    for (let line = ""; !line.startsWith("h "); line = await client.response());
    assert.ok(begun >= 1 && begun <= 4, `${begun} messages were begun`);
  });
}

/** As many fields as have room, none of which is ever wanted. */
const tiny = (octets: number) => "a:\r\n".repeat(octets / 4);

for (const { what, headers, items } of [
  { what: "many messages", headers: Array.from({ length: 400 }, () => tiny(3000)), items: 5 },
  { what: "many items of one message", headers: [tiny(9000)], items: 200 },
  { what: "a few large headers", headers: Array.from({ length: 5 }, () => tiny(60_000)), items: 3 },
]) {
  test(`others have their turn while fields are looked for in ${what}`, async () => {
    const { client } = await started(...headers);
    let turns = 0;
    let next: NodeJS.Immediate;
    const count = () => {
      turns += 1;
      next = setImmediate(count);
    };
    const began = performance.now();
    client.send(`h FETCH 1:* (${times(items, "BODY.PEEK[HEADER.FIELDS (b)]")})\r\n`);
    next = setImmediate(count);
    for (let line = ""; !line.startsWith("h "); line = await client.response());
    clearImmediate(next);
    const tookMs = performance.now() - began;
    assert.ok(turns >= tookMs / 25, `${turns} turns in ${Math.round(tookMs)} ms`);
  });
}
