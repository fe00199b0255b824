/**
 * Two clients on two nodes follow one mailbox by QRESYNC and change flags in it, while mail comes, goes and gets keywords before and
 * after each change is done. Each takes every MODSEQ that it is told for granted, loses its connection at any time and comes back with
 * what it remembers: then it knows what is stored, all of it.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import fc from "fast-check";
import { changeFlags, type FlagOp } from "../../../src/core/flag-change.ts";
import { FLAG_BITS, systemFlagNames } from "../../../src/core/flag-names.ts";
import type { FlagSet } from "../../../src/core/ports/store.ts";
import { SYSTEM_FLAG_NAMES } from "../../../src/wire/message-arguments.ts";
import type { ImapTestClient } from "../../lib/imap-client.ts";
import { type ImapService, PASSWORD, startImapService, USER } from "./service.ts";

/** Raise it by hand for what is rarely met. */
const RUNS = 60;
const STEPS = 25;
const FLAGS = ["\\Seen", "\\Flagged", "k1", "K2"] as const;
const WORDS = ["k1", "K2"] as const;
const SIGNS: Readonly<Record<FlagOp, string>> = { add: "+", remove: "-", replace: "" };
const NEVER_SEEN: FlagSet = { system: 0, keywords: [] };

/** What others do to the mailbox. */
type Change =
  | { readonly do: "deliver" }
  | { readonly do: "expunge"; readonly pick: number }
  | { readonly do: "word"; readonly pick: number; readonly word: string; readonly on: boolean };

interface Store {
  readonly do: "store";
  readonly who: 0 | 1;
  readonly picks: readonly number[];
  readonly byUid: boolean;
  readonly op: FlagOp;
  readonly flags: readonly string[];
  readonly silent: boolean;
  readonly isConditional: boolean;
  readonly before: readonly Change[];
  readonly after: readonly Change[];
  /** Somebody else takes it back at once. */
  readonly isUndone: boolean;
}

type Step =
  | Change
  | Store
  | { readonly do: "noop" | "fetch" | "vanished"; readonly who: 0 | 1 }
  | { readonly do: "return"; readonly who: 0 | 1; readonly tells: "nothing" | "uids" | "pairs" };

const pick = fc.nat(99);
const who = fc.constantFrom(0 as const, 1 as const);
const change: fc.Arbitrary<Change> = fc.oneof(
  fc.constant({ do: "deliver" as const }),
  fc.record({ do: fc.constant("expunge" as const), pick }),
  fc.record({ do: fc.constant("word" as const), pick, word: fc.constantFrom(...WORDS), on: fc.boolean() }),
);
const store: fc.Arbitrary<Store> = fc.record({
  ...{ do: fc.constant("store" as const), who, byUid: fc.boolean(), silent: fc.boolean() },
  ...{ picks: fc.array(pick, { minLength: 1, maxLength: 3 }), isConditional: fc.boolean() },
  isUndone: fc.boolean(),
  op: fc.constantFrom("add" as const, "remove" as const, "replace" as const),
  flags: fc.uniqueArray(fc.constantFrom(...FLAGS), { maxLength: 2 }),
  before: fc.array(change, { maxLength: 2 }),
  after: fc.array(change, { maxLength: 2 }),
});
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 2, arbitrary: change },
  { weight: 4, arbitrary: store },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constantFrom("noop" as const, "fetch" as const, "vanished" as const),
      who,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      ...{ do: fc.constant("return" as const), who },
      tells: fc.constantFrom("nothing" as const, "uids" as const, "pairs" as const),
    }),
  },
);

let service: ImapService;
let connect: readonly (() => Promise<ImapTestClient>)[];
/** What happens around the change of flags under way. */
let around: { readonly before: () => Promise<void>; readonly after: () => Promise<void> } | undefined;

before(async () => {
  service = await startImapService({
    writable: true,
    writer: own => ({
      async change(asked) {
        const now = around;
        around = undefined;
        await now?.before();
        const result = await own.change(asked);
        await now?.after();
        return result;
      },
    }),
  });
  connect = [() => service.client(), await service.otherNode()];
});
after(() => service?.stop());

function flagSet(names: readonly string[]): FlagSet {
  const bits = SYSTEM_FLAG_NAMES.filter(name => names.includes(name)).map(name => FLAG_BITS[name]);
  return {
    system: bits.reduce<number>((sum, bit) => sum | bit, 0),
    keywords: names.filter(name => !name.startsWith("\\")).sort(),
  };
}

const textOf = ({ system, keywords }: FlagSet) => [...systemFlagNames(system), ...keywords].join(" ");

function numbersOf(set: string): readonly number[] {
  return set.split(",").flatMap(part => {
    const [from = 0, to = from] = part.split(":").map(Number);
    return part === "" ? [] : Array.from({ length: to - from + 1 }, (_, i) => from + i);
  });
}

interface Row extends FlagSet {
  readonly uid: number;
  readonly modseq: number;
}

const stored = (): Promise<Row[]> => service.db.query<Row>`
  select e.uid, e.modseq, e.flags as system, e.keywords from entries e join mailboxes m on m.id = e.mailbox_id
  where m.name = 'INBOX' order by e.uid`;

async function apply(one: Change): Promise<void> {
  if (one.do === "deliver") return service.deliver("Subject: x\r\n\r\n");
  const rows = await stored();
  const row = rows[one.pick % Math.max(1, rows.length)];
  if (row === undefined) return;
  if (one.do === "expunge") return void (await service.db.run`delete from entries where uid = ${row.uid}`);
  const { keywords } = changeFlags(row, one.on ? "add" : "remove", { system: 0, keywords: [one.word] });
  await put({ ...row, keywords });
}

/** As somebody else would. */
async function put({ uid, system, keywords }: Row): Promise<void> {
  await service.db.run`
    update entries e set flags = ${system}, keywords = ${[...keywords]}, modseq = m.highest_modseq + 1 from mailboxes m
    where m.id = e.mailbox_id and e.uid = ${uid}`;
}

async function applyAll(all: readonly Change[]): Promise<void> {
  for (const one of all) await apply(one);
}

/** One client, and what it remembers. */
class Client {
  readonly #connect: () => Promise<ImapTestClient>;
  #client: ImapTestClient;
  readonly #known = new Map<number, { flags: FlagSet; modseq: number }>();
  /** By sequence number; undefined: its UID was not told yet. */
  #uids: (number | undefined)[] = [];
  #uidValidity = 0;
  #highest = 0;
  #lastUid = 0;

  private constructor(connect: () => Promise<ImapTestClient>, client: ImapTestClient) {
    this.#connect = connect;
    this.#client = client;
  }

  static async of(connect: () => Promise<ImapTestClient>): Promise<Client> {
    const client = new Client(connect, await connect());
    await client.#open("");
    return client;
  }

  close(): void {
    this.#client.close();
  }

  get count(): number {
    return this.#uids.length;
  }

  async #open(params: string): Promise<void> {
    await this.#client.command(`LOGIN ${USER} "${PASSWORD}"`);
    await this.#client.command("ENABLE QRESYNC");
    this.#uids = [];
    await this.#command(`SELECT INBOX${params}`, true);
    const messages = this.count;
    // What it knows and did not hear of is there; what it never heard of has higher UIDs than all it knows.
    this.#uids = [...this.#known.keys()].sort((a, b) => a - b);
    while (this.count < messages) this.#uids.push(undefined);
    assert.equal(this.count, messages, "messages that are gone were not told");
    await this.#command(`UID FETCH ${this.#lastUid + 1}:* (FLAGS)`, true);
    await this.#learn();
  }

  async return(tells: "nothing" | "uids" | "pairs"): Promise<void> {
    this.#client.close();
    this.#client = await this.#connect();
    const uids = [...this.#known.keys()].sort((a, b) => a - b);
    const known = tells === "nothing" || uids.length === 0 ? "" : ` ${uids.join(",")}`;
    const pairs = tells === "pairs" && known !== "" ? ` (1:${uids.length} ${uids.join(",")})` : "";
    await this.#open(` (QRESYNC (${this.#uidValidity} ${this.#highest}${known}${pairs}))`);
    await this.assertKnowsAll();
  }

  async noop(): Promise<void> {
    await this.#command("NOOP", true);
    await this.#learn();
    await this.assertKnowsAll();
  }

  /** By number, so that news are held back. */
  async fetch(): Promise<void> {
    if (this.count > 0) await this.#command(`FETCH 1:${this.count} (UID FLAGS)`, false);
  }

  async vanished(): Promise<void> {
    await this.#command("NOOP", true);
    await this.#command(`UID FETCH 1:* (FLAGS) (CHANGEDSINCE ${this.#highest} VANISHED)`, true);
    await this.#learn();
    await this.assertKnowsAll();
  }

  async store({ byUid, op, flags, silent, isConditional, ...how }: Store): Promise<void> {
    if (this.count === 0) return;
    // What is announced first is not named by numbers that it shifts.
    if (byUid) await this.noop();
    const picked = [...new Set(how.picks.map(n => n % this.count))].sort((a, b) => a - b);
    const uids = picked.flatMap(index => this.#uids[index] ?? []);
    if (uids.length === 0) return;
    const since = Math.max(...uids.map(uid => this.#known.get(uid)?.modseq ?? 0));
    let old: readonly Row[] = [];
    around = {
      before: async () => {
        await applyAll(how.before);
        old = await stored();
      },
      after: async () => {
        if (how.isUndone) for (const row of old) if (uids.includes(row.uid)) await put(row);
        await applyAll(how.after);
      },
    };
    const named = byUid ? uids : picked.map(index => index + 1);
    const condition = isConditional ? ` (UNCHANGEDSINCE ${since})` : "";
    const command = `${byUid ? "UID " : ""}STORE ${named.join(",")}${condition} ${SIGNS[op]}FLAGS${silent ? ".SILENT" : ""} (${flags.join(" ")})`;
    const assumed = (left: readonly number[]) => {
      for (const uid of silent ? uids : []) {
        const known = this.#known.get(uid);
        if (known !== undefined && !left.includes(uid))
          known.flags = changeFlags(known.flags, op, flagSet(flags));
      }
    };
    const uidOf = (n: number) => (byUid ? n : (this.#uids[n - 1] ?? 0));
    const answers = await this.#command(command, false, all => {
      const left = numbersOf(/\[MODIFIED ([\d:,]+)\]/u.exec(all.at(-1) ?? "")?.[1] ?? "").map(uidOf);
      const changed = old.filter(row => uids.includes(row.uid) && isConditional && row.modseq > since);
      assert.deepEqual(
        left.filter(uid => uids.includes(uid)),
        changed.map(row => row.uid),
        command,
      );
      assumed(left);
    });
    const isWhole = uids.every(uid => old.some(row => row.uid === uid));
    assert.match(
      answers.at(-1) ?? "",
      isWhole || byUid ? /^OK/u : /^NO \[(?:EXPUNGEISSUED|MODIFIED)/u,
      command,
    );
  }

  /** @param first  looks at the answers before they are taken in */
  async #command(
    text: string,
    mayExpunge: boolean,
    first: (answers: readonly string[]) => void = () => undefined,
  ): Promise<readonly string[]> {
    const answers = await this.#client.command(text);
    first(answers);
    let highest = this.#highest;
    let said: number | undefined;
    for (const line of answers.slice(0, -1)) {
      highest = Math.max(highest, this.#take(line, mayExpunge));
      const [, told] = /^\* OK \[HIGHESTMODSEQ (\d+)\]/u.exec(line) ?? [];
      if (told !== undefined) said = Number(told);
    }
    // How far all is known is what the server says, else as far as the last MODSEQ that it told.
    this.#highest = said ?? highest;
    return answers;
  }

  /** @returns the MODSEQ that the line tells, or 0 */
  #take(line: string, mayExpunge: boolean): number {
    assert.doesNotMatch(line, /EXPUNGE$/u);
    const [, exists] = /^\* (\d+) EXISTS$/u.exec(line) ?? [];
    while (this.count < Number(exists ?? 0)) this.#uids.push(undefined);
    const [, validity] = /\[UIDVALIDITY (\d+)\]/u.exec(line) ?? [];
    if (validity !== undefined) this.#uidValidity = Number(validity);
    const [, earlier, gone] = /^\* VANISHED (\(EARLIER\) )?(\S+)$/u.exec(line) ?? [];
    assert.ok(gone === undefined || mayExpunge, `${line} while numbers are in use`);
    for (const uid of numbersOf(gone ?? "")) {
      this.#known.delete(uid);
      if (earlier === undefined) this.#uids = this.#uids.filter(own => own !== uid);
    }
    const [, number, uid] = /^\* (\d+) FETCH \(UID (\d+)/u.exec(line) ?? [];
    return number === undefined ? 0 : this.#fetched(Number(number) - 1, Number(uid), line);
  }

  #fetched(index: number, uid: number, line: string): number {
    assert.equal(this.#uids[index] ?? uid, uid, line);
    this.#uids[index] = uid;
    this.#lastUid = Math.max(this.#lastUid, uid);
    const modseq = Number(/MODSEQ \((\d+)\)/u.exec(line)?.[1] ?? 0);
    assert.ok(modseq > 0, `${line} without MODSEQ`);
    const [, names] = /FLAGS \(([^)]*)\)/u.exec(line) ?? [];
    const flags = names === undefined ? undefined : flagSet(names.split(" ").filter(name => name !== ""));
    this.#known.set(uid, { flags: flags ?? this.#known.get(uid)?.flags ?? NEVER_SEEN, modseq });
    return modseq;
  }

  /** Of new messages it asks at once which they are. */
  async #learn(): Promise<void> {
    const first = this.#uids.indexOf(undefined);
    if (first >= 0) await this.#command(`FETCH ${first + 1}:${this.count} (UID FLAGS)`, false);
  }

  async assertKnowsAll(): Promise<void> {
    const rows = await stored();
    assert.deepEqual(
      this.#uids,
      rows.map(row => row.uid),
    );
    const known = [...this.#known].sort(([a], [b]) => a - b);
    assert.deepEqual(
      known.map(([uid, { flags }]) => `${uid} ${textOf(flags)}`),
      rows.map(row => `${row.uid} ${textOf(row)}`),
    );
  }
}

async function take(step: Step, clients: readonly Client[]): Promise<void> {
  if (!("who" in step)) return apply(step);
  const client = clients[step.who];
  assert.ok(client);
  if (step.do === "store") await client.store(step);
  else if (step.do === "return") await client.return(step.tells);
  else await client[step.do]();
}

test("clients that come back with what they remember know what is stored, whoever changed what meanwhile", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: STEPS, size: "max" }), async steps => {
      await service.db.run`delete from entries`;
      await service.deliver("Subject: x\r\n\r\n", 3);
      const clients = await Promise.all(connect.map(one => Client.of(one)));
      try {
        for (const one of steps) await take(one, clients);
        for (const client of clients) await client.return("nothing");
      } finally {
        for (const client of clients) client.close();
      }
    }),
    { numRuns: RUNS, includeErrorInReport: true },
  );
});
