/**
 * Two clients on two nodes and a job change flags of the same messages at the same time, in any way: what each client was told is in
 * the end what is stored, and nobody is told anything twice.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import fc from "fast-check";
import { changeFlags, type FlagOp } from "../../../src/core/flag-change.ts";
import { FLAG_BITS, systemFlagNames } from "../../../src/core/flag-names.ts";
import { messageId } from "../../../src/core/ids.ts";
import type { FlagSet } from "../../../src/core/ports/store.ts";
import { createStoredMessages } from "../../../src/store/message-changes.ts";
import { SYSTEM_FLAG_NAMES } from "../../../src/wire/message-arguments.ts";
import type { ImapTestClient } from "../../lib/imap-client.ts";
import { NO_CHANGES } from "../jobs/results-rig.ts";
import { type ImapService, PASSWORD, startImapService, USER } from "./service.ts";

const MESSAGES = 5;
const FLAGS = ["\\Seen", "\\Flagged", "\\Draft", "k1", "K2", "k3"] as const;
const SIGNS: Readonly<Record<FlagOp, string>> = { add: "+", remove: "-", replace: "" };

let service: ImapService;
let pictures: readonly Picture[];

before(async () => {
  service = await startImapService({ writable: true });
  await service.deliver("Subject: x\r\n\r\n", MESSAGES);
  const other = await service.otherNode();
  pictures = [await Picture.of(await service.client()), await Picture.of(await other())];
});
after(() => service?.stop());

function flagSet(names: readonly string[]): FlagSet {
  const system = SYSTEM_FLAG_NAMES.filter(name => names.includes(name)).reduce(
    (sum, name) => sum | FLAG_BITS[name],
    0,
  );
  return { system, keywords: names.filter(name => !name.startsWith("\\")).sort() };
}

const textOf = ({ system, keywords }: FlagSet) =>
  [...systemFlagNames(system), ...keywords.map(word => word.toLowerCase()).sort()].join(" ");

interface Store {
  readonly kind: "store";
  readonly who: 0 | 1;
  readonly numbers: readonly number[];
  readonly byUid: boolean;
  readonly op: FlagOp;
  readonly flags: readonly string[];
  readonly silent: boolean;
  /** So many MODSEQs before the newest; undefined: no condition. */
  readonly since: number | undefined;
}

/** What one client was told, and took for granted. */
class Picture {
  readonly #client: ImapTestClient;
  readonly #flags: FlagSet[] = Array.from({ length: MESSAGES }, () => flagSet([]));

  private constructor(client: ImapTestClient) {
    this.#client = client;
  }

  static async of(client: ImapTestClient): Promise<Picture> {
    await client.command(`LOGIN ${USER} "${PASSWORD}"`);
    assert.match((await client.command("SELECT INBOX")).at(-1) ?? "", /READ-WRITE/u);
    return new Picture(client);
  }

  get texts(): readonly string[] {
    return this.#flags.map(textOf);
  }

  async store({ numbers, byUid, op, flags, silent, since }: Store, highest: number): Promise<void> {
    const condition = since === undefined ? "" : ` (UNCHANGEDSINCE ${Math.max(0, highest - since)})`;
    const verb = `${byUid ? "UID " : ""}STORE ${numbers.join(",")}${condition}`;
    const answers = await this.#client.command(
      `${verb} ${SIGNS[op]}FLAGS${silent ? ".SILENT" : ""} (${flags.join(" ")})`,
    );
    const last = answers.at(-1) ?? "";
    assert.match(last, /^OK/u, verb);
    const left = numbersOf(/\[MODIFIED ([\d:,]+)\]/u.exec(last)?.[1] ?? "");
    const named = numbers.filter(number => !left.includes(number));
    if (silent)
      for (const number of named)
        this.#flags[number - 1] = changeFlags(this.#flags[number - 1] ?? flagSet([]), op, flagSet(flags));
    const told = this.#take(answers);
    if (!silent) for (const number of named) assert.ok(told.includes(number), `${number} is not answered`);
    assert.equal(new Set(told).size, told.length, `told twice:\n${answers.join("\n")}`);
  }

  async noop(): Promise<readonly number[]> {
    return this.#take(await this.#client.command("NOOP"));
  }

  /** @returns numbers of the messages whose flags were told */
  #take(answers: readonly string[]): readonly number[] {
    return answers.flatMap(line => {
      const [, number, names] = /^\* (\d+) FETCH \(.*FLAGS \(([^)]*)\)/u.exec(line) ?? [];
      if (number === undefined) return [];
      this.#flags[Number(number) - 1] = flagSet((names ?? "").split(" ").filter(name => name !== ""));
      return [Number(number)];
    });
  }
}

function numbersOf(set: string): readonly number[] {
  return set.split(",").flatMap(part => {
    const [from = 0, to = from] = part.split(":").map(Number);
    return part === "" ? [] : Array.from({ length: to - from + 1 }, (_, i) => from + i);
  });
}

interface Tag {
  readonly kind: "tag";
  readonly number: number;
  readonly word: string;
  readonly on: boolean;
}

async function tag({ number, word, on }: Tag): Promise<void> {
  const [row] = await service.db.query<{
    id: string;
  }>`select message_id as id from entries where uid = ${number}`;
  const request = { messageId: messageId(row?.id ?? ""), accounts: [service.account], events: [] };
  const changes = { ...NO_CHANGES, ...(on ? { tagsAdd: [word] } : { tagsRemove: [word] }) };
  await createStoredMessages({ db: service.db, changes: service.changes }).apply({
    ...{ ...request, changes, by: [], job: "test" },
  });
}

const number = fc.integer({ min: 1, max: MESSAGES });
const storeBy = (who: 0 | 1): fc.Arbitrary<Store> =>
  fc.record({
    kind: fc.constant("store" as const),
    who: fc.constant(who),
    numbers: fc
      .uniqueArray(number, { minLength: 1, maxLength: MESSAGES })
      .map(all => all.sort((a, b) => a - b)),
    byUid: fc.boolean(),
    op: fc.constantFrom("add" as const, "remove" as const, "replace" as const),
    flags: fc.uniqueArray(fc.constantFrom(...FLAGS), { maxLength: 3 }),
    silent: fc.boolean(),
    since: fc.option(fc.integer({ min: 0, max: 4 }), { nil: undefined }),
  });
const tagged: fc.Arbitrary<Tag> = fc.record({
  kind: fc.constant("tag" as const),
  number,
  word: fc.constantFrom("k1", "k2", "k3"),
  on: fc.boolean(),
});
/** All at the same time. */
const batch = fc.tuple(
  ...[storeBy(0), storeBy(1), tagged].map(one =>
    fc.option(one as fc.Arbitrary<Store | Tag>, { nil: undefined }),
  ),
);

const highest = async () =>
  (await service.db.query<{ m: number }>`select highest_modseq as m from mailboxes where name = 'INBOX'`)[0]
    ?.m ?? 0;

test("what clients are told is what is stored, whoever changes what at the same time", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(batch, { minLength: 1, maxLength: 6 }), async batches => {
      for (const all of batches) {
        const newest = await highest();
        await Promise.all(
          all.map(one => {
            if (one === undefined) return undefined;
            return one.kind === "tag" ? tag(one) : pictures[one.who]?.store(one, newest);
          }),
        );
      }
      const rows = await service.db
        .query<FlagSet>`select flags as system, keywords from entries order by uid`;
      const stored = rows.map(textOf);
      for (const picture of pictures) {
        await picture.noop();
        assert.deepEqual(picture.texts, stored);
        assert.deepEqual(await picture.noop(), [], "told once more");
      }
      const [row] = await service.db.query<{ n: number; m: number }>`
        select m.unseen as n, (select count(*) from entries e where e.mailbox_id = m.id and e.flags & 1 = 0) as m
        from mailboxes m where name = 'INBOX'`;
      assert.equal(row?.n, row?.m);
    }),
    { numRuns: 40 },
  );
});

test("a client of another node that idles is told by NOTIFY", async () => {
  const client = await service.otherNode().then(connect => connect());
  const watcher = await service.client();
  for (const one of [client, watcher]) {
    await one.command(`LOGIN ${USER} "${PASSWORD}"`);
    await one.command("SELECT INBOX");
  }
  await client.command("STORE 1:* FLAGS.SILENT ()");
  await watcher.command("NOOP");
  watcher.send("i1 IDLE\r\n");
  assert.match(await watcher.line(), /^\+/u);
  await client.command("STORE 2 +FLAGS.SILENT (\\Answered)");
  assert.match(await watcher.line(), /^\* 2 FETCH \(.*FLAGS \(\\Answered\)/u);
});
