import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { deadlineAfter } from "../../../../src/platform/deadline.ts";
import { type ListenerSet, openListeners } from "../../../../src/platform/listeners.ts";
import { createMilterServer, type MilterServerConfig } from "../../../../src/protocols/milter/server.ts";
import { MilterClient, type Target } from "../../../lib/milter-client.ts";
import * as p from "../../../lib/milter-packets.ts";
import { Counted, MemoryDecider } from "./harness.ts";

class Site {
  readonly decider = new MemoryDecider();
  readonly counted = new Counted();
  readonly milter;
  #listeners: ListenerSet | undefined;
  readonly #dir = mkdtempSync(join(tmpdir(), "mairust-milter-"));

  constructor(config: Partial<MilterServerConfig>) {
    const { decider, counted } = this;
    this.milter = createMilterServer({
      config: {
        connections: 10,
        packetBytes: 100_000,
        chainTimeoutMs: 5_000,
        outboundDaemons: ["ORIGINATING"],
        outboundNetworks: ["198.51.100.0/24"],
        ...config,
      },
      decider,
      log: counted.log,
      metrics: counted.metrics,
    });
  }

  /** Where to connect: the UNIX socket, the TCP port. */
  async start(): Promise<{ readonly unix: Target; readonly tcp: Target }> {
    const path = join(this.#dir, "milter.sock");
    this.#listeners = await openListeners({
      name: "milter.listen",
      specs: [`unix:${path}`, "inet:127.0.0.1:0"],
      createServer: () => this.milter.createListener(),
      access: { mode: "0600", group: "" },
      maxConnections: 100,
    });
    const port = Number(this.#listeners.addresses[1]?.split(":").at(-1));
    return { unix: { path }, tcp: { port, host: "127.0.0.1" } };
  }

  async stop(): Promise<void> {
    await this.milter.close();
    await this.#listeners?.close();
    rmSync(this.#dir, { recursive: true });
  }
}

async function withSite(
  config: Partial<MilterServerConfig>,
  work: (site: Site, targets: { readonly unix: Target; readonly tcp: Target }) => Promise<void>,
): Promise<void> {
  const site = new Site(config);
  try {
    await work(site, await site.start());
  } finally {
    await site.stop();
  }
  assert.equal(site.milter.connections(), 0);
  assert.equal(site.counted.open, 0);
  assert.deepEqual(site.counted.errors, []);
}

const MESSAGE = { to: ["ann@test"], headers: [["Subject", " x"]] as const, body: "body\r\n".repeat(30_000) };

test("several messages of 180 KB in one connection, by UNIX socket and by TCP", async () => {
  await withSite({}, async (site, targets) => {
    for (const target of [targets.unix, targets.tcp]) {
      const client = await MilterClient.open(target);
      for (const queueId of ["Q1", "Q2", "Q3"])
        assert.deepEqual(await client.send({ ...MESSAGE, queueId }), ["c"]);
      client.quit();
      await client.closed();
    }
    assert.deepEqual(
      site.decider.decided.map(({ envelope, content }) => [envelope.queueId, content.length]),
      ["Q1", "Q2", "Q3", "Q1", "Q2", "Q3"].map(id => [id, 180_000 + 14]),
    );
    assert.deepEqual(site.counted.faults, []);
  });
});

test("steps are left unanswered on UNIX sockets only", async () => {
  await withSite({}, async (_, targets) => {
    const unix = await MilterClient.open(targets.unix);
    assert.equal(unix.steps & 0xf_f080, 0xf_f080);
    const tcp = await MilterClient.open(targets.tcp);
    assert.equal(tcp.steps & 0xf_f280, 0);
  });
});

test("direction follows login, daemon and network", async () => {
  await withSite({}, async (site, { unix }) => {
    const inbound = await MilterClient.open(unix);
    await inbound.send(MESSAGE);
    await inbound.send({ ...MESSAGE, auth: "ann" });
    await inbound.send(MESSAGE);
    await (await MilterClient.open(unix, "192.0.2.1", "ORIGINATING")).send(MESSAGE);
    await (await MilterClient.open(unix, "198.51.100.1")).send(MESSAGE);
    assert.deepEqual(
      site.decider.decided.map(({ envelope }) => envelope.direction),
      ["inbound", "outbound", "inbound", "outbound", "outbound"],
    );
  });
});

test("nonsense closes that connection, is counted, and harms no other", async () => {
  await withSite({}, async (site, { tcp, unix }) => {
    const good = await MilterClient.open(unix);
    for (const bytes of [
      Buffer.from("GET / HTTP/1.1\r\n\r\n"),
      Buffer.alloc(4),
      p.packet("Z"),
      p.mail("<>"),
    ]) {
      const bad = await MilterClient.dial(tcp);
      bad.write(bytes);
      await bad.closed();
    }
    const large = await MilterClient.open(tcp);
    large.write(p.body("x".repeat(100_000)));
    await large.closed();
    assert.deepEqual(site.counted.faults, ["too_long", "syntax", "syntax", "order", "too_long"]);
    assert.deepEqual(await good.send(MESSAGE), ["c"]);
  });
});

test("a connection beyond the limit is closed at once; the next one after a place is free is served", async () => {
  await withSite({ connections: 1 }, async (site, { unix, tcp }) => {
    const first = await MilterClient.open(unix);
    const second = await MilterClient.dial(tcp);
    await second.closed();
    assert.deepEqual(site.counted.logged, ["milter.too_many_connections"]);
    first.quit();
    await first.closed();
    while (site.milter.connections() > 0) await new Promise(resolve => setImmediate(resolve));
    assert.deepEqual(await (await MilterClient.open(tcp)).send(MESSAGE), ["c"]);
  });
});

test("a silent MTA is cut, but not one that waits for a decision", async () => {
  await withSite({ limits: { idleMs: 50 } }, async (site, { unix }) => {
    await (await MilterClient.dial(unix)).closed();
    site.decider.gate = new Promise(resolve => setTimeout(resolve, 150));
    // All in one write: a machine that pauses between two of them makes a silence of its own.
    const client = await MilterClient.dial(unix);
    client.write(
      p.optneg(),
      p.connect(),
      p.helo(),
      p.mail("<a@test>"),
      p.rcpt("<ann@test>"),
      p.eoh(),
      p.eom(),
    );
    assert.equal((await client.end()).at(-1), "c");
  });
});

test("an MTA that goes away while a decision is awaited ends the wait, and nothing is left", async () => {
  await withSite({}, async (site, { unix }) => {
    const client = await MilterClient.open(unix);
    const lost = client.send({ ...MESSAGE, to: ["hang@test"] }).catch(() => "lost");
    while (site.decider.deadlines.length === 0) await new Promise(resolve => setImmediate(resolve));
    client.socket.destroy();
    assert.equal(await lost, "lost");
    while (site.counted.results.length === 0) await new Promise(resolve => setImmediate(resolve));
    assert.deepEqual(site.counted.results, ["aborted"]);
    assert.equal(site.decider.aborted.length, 1);
  });
});

test("back-pressure reaches the MTA: while a write hangs, little more than a read is taken in", async () => {
  await withSite({}, async (site, { unix }) => {
    let open = (): void => {};
    site.decider.writeGate = new Promise(resolve => {
      open = resolve;
    });
    const client = await MilterClient.open(unix);
    const pieces = Array.from({ length: 400 }, () => p.body("x".repeat(60_000)));
    client.write(p.mail("<a@test>"), p.rcpt("<ann@test>"), p.eoh(), ...pieces, p.eom());
    await new Promise(resolve => setTimeout(resolve, 200));
    assert.ok(client.socket.writableLength > 20_000_000, `${client.socket.writableLength} octets wait`);
    open();
    assert.deepEqual(await client.end(), ["c"]);
    assert.equal(site.decider.decided[0]?.content.length, 24_000_002);
  });
});

test("an MTA that does not read its answers is not read from", async () => {
  await withSite({}, async (_, { unix }) => {
    const client = await MilterClient.dial(unix);
    client.socket.pause();
    // Version 2 knows no unanswered steps, and a UNIX socket holds little.
    client.write(p.optneg(2, 0x3f, 0x7f), p.connect());
    client.write(Buffer.concat(Array.from({ length: 400_000 }, () => p.unknown("x".repeat(40)))));
    await new Promise(resolve => setTimeout(resolve, 500));
    const waits = client.socket.writableLength;
    assert.ok(waits > 10_000_000, `${waits} octets wait`);
    await new Promise(resolve => setTimeout(resolve, 200));
    assert.equal(client.socket.writableLength, waits);
    client.socket.destroy();
  });
});

test("a connection that is ended does not wait for ever for its last answers to be read", async () => {
  await withSite({ limits: { lingerMs: 50 } }, async (site, { unix }) => {
    const client = await MilterClient.dial(unix);
    client.socket.pause();
    const flood = Array.from({ length: 2_000 }, () => p.unknown("x"));
    client.write(p.optneg(2, 0x3f, 0x7f), p.connect(), ...flood, p.packet("Z"));
    while (site.counted.faults.length === 0) await new Promise(resolve => setImmediate(resolve));
    assert.equal(site.milter.connections(), 1);
    const startedAt = performance.now();
    while (site.milter.connections() > 0) await new Promise(resolve => setTimeout(resolve, 5));
    assert.ok(performance.now() - startedAt < 5_000);
    client.socket.destroy();
  });
});

test("drain: a message under way is answered, the rest is closed, new connections are refused", async () => {
  await withSite({}, async (site, { unix, tcp }) => {
    const idle = await MilterClient.open(tcp);
    const busy = await MilterClient.open(unix);
    let open = (): void => {};
    site.decider.gate = new Promise(resolve => {
      open = resolve;
    });
    const answer = busy.send(MESSAGE);
    while (site.decider.deadlines.length === 0) await new Promise(resolve => setImmediate(resolve));
    const deadline = deadlineAfter(5_000);
    const drained = site.milter.drain(deadline);
    await idle.closed();
    await (await MilterClient.dial(tcp)).closed();
    open();
    assert.deepEqual(await answer, ["c"]);
    await drained;
    assert.equal(site.milter.connections(), 0);
    deadline.dispose();
  });
});

test("drain ends at its deadline, close() cuts what is left", async () => {
  await withSite({}, async (site, { unix }) => {
    const client = await MilterClient.open(unix);
    const lost = client.send({ ...MESSAGE, to: ["hang@test"] }).catch(() => "lost");
    while (site.decider.deadlines.length === 0) await new Promise(resolve => setImmediate(resolve));
    const deadline = deadlineAfter(20);
    const awake = setInterval(() => {}, 1_000);
    await site.milter.drain(deadline);
    clearInterval(awake);
    assert.equal(site.milter.connections(), 1);
    await site.milter.close();
    assert.equal(await lost, "lost");
    assert.deepEqual(site.counted.logged, ["milter.drain_incomplete"]);
  });
});

test("createMilterServer() refuses a network that is none", () => {
  assert.throws(() => new Site({ outboundNetworks: ["192.0.2.0/33"] }), /Cannot read network/u);
});
