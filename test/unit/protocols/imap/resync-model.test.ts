/**
 * A client that remembers as much as the protocol lets it, through random changes, syncs and losses of its connection: what it holds in
 * the end is what the server has. It takes the highest MODSEQ that it saw anywhere for what it knows all of, which is the boldest reading
 * of RFC 7162 §3.2.5: a MODSEQ told too early, or an expunge told to nobody, is found.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import fc from "fast-check";
import { resolveSet } from "../../../../src/protocols/imap/sequence-set.ts";
import { readFetch } from "../../../lib/imap-client.ts";
import { sequenceSet } from "../../../lib/sequence-sets.ts";
import { startTestServer, type TestClient, type TestServer } from "./harness.ts";
import type { MemoryMailbox } from "./memory-store.ts";

interface Known {
  readonly uid: number;
  /** Undefined: it was announced and not yet asked for. */
  flags: string | undefined;
}

/** What it says of where it stands when it comes back. */
type Memory = "nothing" | "uids" | "pairs";

function uidsIn(set: string): Set<number> {
  const ranges = resolveSet(sequenceSet(set), 0);
  const uids = new Set<number>();
  for (let i = 0; i < ranges.length; i += 2)
    for (let uid = ranges[i] ?? 0; uid <= (ranges[i + 1] ?? 0); uid += 1) uids.add(uid);
  return uids;
}

class ModelClient {
  readonly #server: TestServer;
  #connection: TestClient | undefined;
  #uidValidity = 0;
  #modseq = 0;
  /** By number; undefined: only EXISTS was told of it. */
  messages: Array<Known | undefined> = [];

  constructor(server: TestServer) {
    this.#server = server;
  }

  leave(): void {
    this.#connection?.close();
    this.#connection = undefined;
    this.messages = this.messages.filter(message => message !== undefined);
  }

  async comeBack(memory: Memory): Promise<void> {
    this.leave();
    this.#connection = await this.#server.user();
    await this.#send("ENABLE QRESYNC");
    await this.#send(
      `SELECT INBOX (QRESYNC (${this.#uidValidity || 1} ${this.#modseq}${this.#known(memory)}))`,
    );
    await this.fill();
  }

  #known(memory: Memory): string {
    const uids = this.messages.map(message => message?.uid);
    if (memory === "nothing" || uids.length === 0) return "";
    if (memory === "uids") return ` ${uids.join(",")}`;
    const picked = [...uids.keys()].filter(i => i % 3 === 0 || i === uids.length - 1);
    return ` ${uids.join(",")} (${picked.map(i => i + 1).join(",")} ${picked.map(i => uids[i]).join(",")})`;
  }

  /** @param text  `*` in it names the last message that it knows */
  async run(text: string): Promise<void> {
    if (this.#connection === undefined) return;
    await this.#send(text);
    await this.fill();
  }

  /** Ask for messages of which only EXISTS was told. */
  async fill(): Promise<void> {
    for (;;) {
      const hole = this.messages.indexOf(undefined);
      if (hole < 0) return;
      await this.#send(`UID FETCH ${(this.messages[hole - 1]?.uid ?? 0) + 1}:4294967295 (FLAGS)`);
    }
  }

  async #send(text: string): Promise<void> {
    const lines = await this.#connection?.command(text);
    assert.ok(lines);
    assert.match(lines.at(-1) ?? "", /^OK/u, `${text}: ${lines.at(-1)}`);
    for (const line of lines) this.#take(line);
    // Only now: until the answer is whole, what comes may be in any order.
    for (const line of lines)
      for (const [, modseq] of line.matchAll(/(?:HIGHESTMODSEQ |MODSEQ \()(\d+)/gu))
        this.#modseq = Math.max(this.#modseq, Number(modseq));
  }

  #take(line: string): void {
    const validity = /\[UIDVALIDITY (\d+)\]/u.exec(line);
    if (validity !== null) {
      if (Number(validity[1]) !== this.#uidValidity)
        this.messages = Array.from({ length: this.#exists }, () => undefined);
      this.#uidValidity = Number(validity[1]);
    }
    const vanished = /^\* VANISHED (\(EARLIER\) )?(\S+)$/u.exec(line);
    if (vanished !== null) {
      const gone = uidsIn(vanished[2] ?? "");
      const kept = this.messages.filter(message => message === undefined || !gone.has(message.uid));
      const isNew = vanished[1] === undefined;
      if (isNew) assert.equal(this.messages.length - kept.length, gone.size, `not all of ${line} were known`);
      // The count of SELECT stands already: what is told of earlier times does not change it.
      const missing = isNew ? 0 : this.#exists - kept.length;
      this.messages = [...kept, ...Array.from({ length: Math.max(0, missing) }, () => undefined)];
    }
    const exists = /^\* (\d+) EXISTS$/u.exec(line);
    if (exists !== null) {
      this.#exists = Number(exists[1]);
      while (this.messages.length < this.#exists) this.messages.push(undefined);
    }
    if (/^\* \d+ FETCH /u.test(line)) this.#takeFetch(line);
  }

  #exists = 0;

  #takeFetch(line: string): void {
    const number = Number(/^\* (\d+)/u.exec(line)?.[1]);
    const items = readFetch(line);
    const text = (name: string) => {
      const value = items.get(name);
      return value !== null && value !== undefined && "text" in value ? value.text : undefined;
    };
    const [uid, flags] = [Number(text("UID")), text("FLAGS")];
    const known = this.messages[number - 1];
    assert.ok(number <= this.messages.length, `${line}: there are ${this.messages.length}`);
    if (known === undefined) this.messages[number - 1] = { uid, flags };
    else {
      assert.equal(known.uid, uid, `number ${number} is UID ${known.uid} for the client: ${line}`);
      known.flags = flags ?? known.flags;
    }
  }
}

type Step = (client: ModelClient, inbox: MemoryMailbox) => Promise<void> | void;

const pick = (inbox: MemoryMailbox, n: number) => inbox.stored[n % Math.max(1, inbox.stored.length)]?.row.uid;

const step: fc.Arbitrary<{ readonly name: string; readonly run: Step }> = fc.oneof(
  fc.nat(31).map(system => ({
    name: "deliver",
    run: ((_, inbox) => void inbox.deliver("a: b\r\n\r\n", { flags: { system, keywords: [] } })) as Step,
  })),
  fc.tuple(fc.nat(50), fc.nat(31)).map(([n, system]) => ({
    name: `flag ${n}`,
    run: ((_, inbox) => inbox.setFlags(pick(inbox, n) ?? 0, { system, keywords: [] })) as Step,
  })),
  fc.array(fc.nat(50), { minLength: 1, maxLength: 4 }).map(all => ({
    name: `expunge ${all}`,
    run: ((_, inbox) => inbox.expunge(...new Set(all.map(n => pick(inbox, n) ?? 0)))) as Step,
  })),
  fc.constant({
    name: "forget",
    run: ((_, inbox) => {
      inbox.expungedFloor = inbox.modseq;
    }) as Step,
  }),
  fc
    .constantFrom(
      "NOOP",
      "UID SEARCH ALL",
      "UID FETCH 1:4294967295 (FLAGS)",
      "UID SEARCH 1",
      "STATUS INBOX (HIGHESTMODSEQ)",
    )
    .map(text => ({ name: text, run: (client => client.run(text)) as Step })),
  fc.constantFrom("FETCH 1:* (UID FLAGS)", "FETCH 1 (UID MODSEQ)", "SEARCH 1:*").map(text => ({
    name: text,
    run: (async client => {
      if (client.messages.length > 0) await client.run(text);
    }) as Step,
  })),
  fc.constant({ name: "leave", run: (client => client.leave()) as Step }),
  fc
    .constantFrom<Memory>("nothing", "uids", "pairs")
    .map(memory => ({ name: `come back with ${memory}`, run: (client => client.comeBack(memory)) as Step })),
);

const holder: { server?: TestServer } = {};
before(async () => {
  holder.server = await startTestServer();
});
after(() => holder.server?.close());

test("a client that syncs at any moment, in any way, holds what the server has", async () => {
  const { server } = holder;
  assert.ok(server);
  const memories = fc.constantFrom<Memory>("nothing", "uids", "pairs");
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 5, maxLength: 40 }),
      memories,
      fc.nat(8),
      async (steps, last, first) => {
        const inbox = server.store.add("INBOX");
        for (let i = 0; i < first; i += 1) inbox.deliver("a: b\r\n\r\n");
        const client = new ModelClient(server);
        await client.comeBack("nothing");
        for (const { run } of steps) await run(client, inbox);
        await client.comeBack(last);
        const names = ["\\Seen", "\\Answered", "\\Flagged", "\\Deleted", "\\Draft"];
        assert.deepEqual(
          client.messages.map(message => [
            message?.uid,
            message?.flags?.slice(1, -1).split(" ").filter(Boolean).sort(),
          ]),
          inbox.stored.map(({ row, flags }) => [
            row.uid,
            names.filter((_, bit) => (flags.system >> bit) & 1).sort(),
          ]),
          steps.map(({ name }) => name).join("; "),
        );
        client.leave();
      },
    ),
    { numRuns: 150 },
  );
});
