/**
 * The whole way through the stages and back on running servers that already hold mail, by the commands that an operator types, while
 * mail comes without a pause and clients read: nothing is lost, nothing is there twice, no mailbox is broken, nothing is left behind.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { deadlineAfter, sleep } from "../../src/platform/deadline.ts";
import { metricsText } from "../lib/service-metrics.ts";
import { SmtpLoad } from "../lib/walk-load.ts";
import { MARK } from "../lib/walk-plugin.ts";
import { type Auth, MailReader, messagesOf, type SeenMessage, withImap } from "../lib/walk-reader.ts";
import { DOMAIN, startWalkSite, type WalkSite } from "../lib/walk-site.ts";

const ACCOUNTS = ["ann", "bob", "eve"].map(name => `${name}@${DOMAIN}`);
const OLD_MAIL = 12;
const FOLDER = "Archive/2019";
const OLD_FLAGS = ["\\Flagged", "\\Seen", "kept"];
/** Everything of the way of one message, on a slow machine. */
const WAIT_MS = 30_000;
const DRAIN_MS = 60_000;
/** Commands that say "not all is the same yet, run it again". */
const MAX_RUNS = 5;

let site: WalkSite;
let load: SmtpLoad;
let readers: readonly MailReader[] = [];
let configuration = "";
let probes = 0;
/** Of a message that everybody has read there, and that only the sidecar had. */
let readInStore = "";
let isOver = false;

before(async () => {
  site = await startWalkSite(ACCOUNTS);
  load = new SmtpLoad(site.postfix.smtpPort, ACCOUNTS);
  readers = ACCOUNTS.map(address => new MailReader(site.dovecot.imapPort, site.user(address)));
  configuration = await site.configuration();
});
after(async () => {
  await load?.stop();
  await Promise.allSettled(readers.map(reader => reader.stop()));
  await site?.stop();
});

/** Lines of each log that are shown when a step fails. */
const LOG_LINES = 20_000;

/** Each goes on from the one before. */
function step(name: string, work: () => Promise<void>): void {
  test(name, async () => {
    assert.ok(!isOver, "a step before this one failed");
    isOver = true;
    await work().catch(async error => {
      const log = [
        ...site.sidecar.logText().split("\n").slice(-LOG_LINES),
        ...(await site.postfix.log()).slice(-LOG_LINES),
        ...(await site.dovecot.log()).slice(-LOG_LINES),
      ];
      throw new Error(`${error instanceof Error ? error.message : error}\n${log.join("\n")}`, {
        cause: error,
      });
    });
    isOver = false;
  });
}

/** @returns standard output and error. @throws when it ends with another exit code than 0 */
async function mairust(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await site.mairust(...args);
  assert.equal(code, 0, `${args.join(" ")}\n${stdout}${stderr}`);
  return `${stdout}${stderr}`;
}

/** What says with its exit code that it wants to be run again. @returns how often it ran */
async function untilEqual(again: number, ...args: readonly string[]): Promise<number> {
  for (let runs = 1; ; runs += 1) {
    const { code, stdout, stderr } = await site.mairust(...args);
    if (code === 0) return runs;
    assert.ok(code === again && runs < MAX_RUNS, `${args.join(" ")}: exit ${code}\n${stdout}${stderr}`);
  }
}

const stageSet = (stage: string, ...more: readonly string[]) =>
  mairust("stage", "set", DOMAIN, stage, "--apply", "--yes", ...site.places, ...more);

const at = (auth: Auth, folder: string): Promise<readonly SeenMessage[]> =>
  withImap(site.dovecot.imapPort, auth, async client => (await messagesOf(client, folder)).messages);

async function drained(): Promise<void> {
  const end = deadlineAfter(DRAIN_MS);
  await site.postfix.flush();
  await site.postfix.waitQueueEmpty(end);
  end.dispose();
}

/** One message to everybody from now on. @returns how the first account's user sees it */
async function probe(): Promise<SeenMessage> {
  probes += 1;
  return arrived(ACCOUNTS[0] ?? "", await load.send(`probe-${probes}`, ACCOUNTS));
}

/** @returns how the account's user sees it */
async function arrived(address: string, id: string): Promise<SeenMessage> {
  const end = deadlineAfter(WAIT_MS);
  try {
    for (;;) {
      const inbox = await at(site.user(address), "INBOX").catch(() => []);
      const found = inbox.find(one => one.id === id);
      if (found !== undefined) return found;
      await sleep(100, end.signal);
    }
  } finally {
    end.dispose();
  }
}

const isMarked = ({ source }: SeenMessage) => source.includes(`${MARK}\r\n`);
const isAt = async (auth: Auth, { id }: SeenMessage, port = site.dovecot.imapPort) =>
  withImap(port, auth, async client =>
    (await messagesOf(client, "INBOX")).messages.some(one => one.id === id),
  );
const inDovecot = (one: SeenMessage) => isAt(site.master(ACCOUNTS[0] ?? ""), one);
const inSidecar = (one: SeenMessage) => isAt(site.copy(ACCOUNTS[0] ?? ""), one, site.sidecar.imapPort);

async function everybodyReads(): Promise<void> {
  await Promise.all(readers.map(reader => reader.look()));
}

step("a host that holds mail: clients read it, and mail comes without a pause from now on", async () => {
  for (let i = 1; i <= OLD_MAIL; i += 1) await load.send(`old-${i}`, ACCOUNTS);
  await drained();
  for (const address of ACCOUNTS)
    await withImap(site.dovecot.imapPort, site.user(address), async client => {
      await client.mailboxCreate(FOLDER);
      await client.mailboxOpen("INBOX");
      await client.messageFlagsAdd("1:4", OLD_FLAGS);
      await client.messageMove("3:6", FOLDER);
    });
  for (const reader of readers) reader.start();
  load.start();
});

step("observe: the milter sees mail, and delivery is as it was", async () => {
  await mairust("domain", "add", DOMAIN, "--stage", "observe", "--relay-lmtp", site.hop);
  for (const address of ACCOUNTS) await mairust("account", "add", address);
  await mairust("setup", DOMAIN, "--stage", "observe", "--apply", ...site.places);
  const one = await probe();
  assert.ok(!isMarked(one));
  assert.ok(!/by mail\.own\.test with LMTP/u.test(one.source));
  await everybodyReads();
});

step("hooks: from the next RCPT on mail is marked, and lies in Dovecot alone", async () => {
  assert.match(await stageSet("hooks"), /moved from observe to hooks/u);
  const one = await probe();
  assert.ok(isMarked(one));
  assert.ok(!(await inSidecar(one)));
  await everybodyReads();
});

step("mirror: from the next RCPT on the sidecar has a copy", async () => {
  assert.match(await stageSet("mirror"), /moved from hooks to mirror/u);
  const one = await probe();
  assert.ok(isMarked(one));
  assert.ok((await inDovecot(one)) && (await inSidecar(one)));
  await everybodyReads();
});

step(
  "store: what was there before comes over, both sides are the same, and clients read the sidecar's mailboxes",
  async () => {
    const accounts = await site.writeFile("accounts.csv", `account\n${ACCOUNTS.join("\n")}\n`);
    // Mail that comes meanwhile has its copy already: that it did come is no reason to run again.
    const { code, stdout, stderr } = await site.mairust(
      "import",
      "imap",
      site.imapUrl,
      "--accounts",
      accounts,
      ...site.login,
    );
    assert.ok(code === 0 || code === 2, `import: exit ${code}\n${stdout}${stderr}`);
    const rules = ["--ignore-uids", "--ignore-dates", "--ignore-trace", "--ignore-marks"];
    await mairust("verify", DOMAIN, "--against", site.imapUrl, ...site.login, ...rules);
    assert.match(await stageSet("store"), /moved from mirror to store/u);
    const one = await probe();
    assert.ok(isMarked(one));
    assert.ok(!(await inDovecot(one)) && (await inSidecar(one)));
    for (const address of ACCOUNTS)
      assert.deepEqual(
        (await at(site.user(address), FOLDER)).map(({ flags }) => flags),
        flagsOfOld(),
      );
    await everybodyReads();
  },
);

step("store again: what a user has set to unread meanwhile stays so", async () => {
  const user = site.user(ACCOUNTS[0] ?? "");
  await withImap(site.dovecot.imapPort, user, async client => {
    await client.mailboxOpen(FOLDER);
    await client.messageFlagsRemove("1", ["\\Seen"]);
  });
  const isSeen = async () => (await at(user, FOLDER)).map(({ flags }) => flags.includes("\\Seen"));
  assert.deepEqual(await isSeen(), [false, true, false, false]);
  assert.match(await stageSet("store"), /(?:^|\n)0 messages of 3 accounts are marked as read/u);
  assert.deepEqual(await isSeen(), [false, true, false, false]);
});

step("store: users read mail there", async () => {
  readInStore = (await probe()).id;
  for (const address of ACCOUNTS) {
    const { uid } = await arrived(address, readInStore);
    await withImap(site.dovecot.imapPort, site.user(address), async client => {
      for (const [folder, range, options] of [
        [FOLDER, "3", {}],
        ["INBOX", String(uid), { uid: true }],
      ] as const) {
        const box = await client.mailboxOpen(folder);
        // Dovecot says that the sidecar keeps no flags; clients store this one all the same, and Dovecot keeps it.
        box.permanentFlags?.add("\\Seen");
        assert.ok(await client.messageFlagsAdd(range, ["\\Seen"], options));
      }
    });
  }
});

step("back to mirror: what only the sidecar has goes to Dovecot, then clients read there again", async () => {
  const against = ["--against", site.imapUrl, ...site.login];
  const args = ["stage", "set", DOMAIN, "mirror", "--apply", "--yes", ...site.places, ...against];
  await untilEqual(2, ...args);
  for (const address of ACCOUNTS) {
    const inbox = await at(site.user(address), "INBOX");
    const read = inbox.filter(({ flags }) => flags.includes("\\Seen")).map(({ id }) => id);
    assert.ok(read.includes(readInStore), "what was read in store");
    assert.ok(read.length < inbox.length, "and nothing else");
    assert.deepEqual(
      (await at(site.user(address), FOLDER)).map(({ flags }) => flags),
      flagsOfOld(["\\Seen"]),
    );
  }
  const one = await probe();
  assert.ok((await inDovecot(one)) && (await inSidecar(one)));
  await everybodyReads();
});

step("back to hooks: no copies any more", async () => {
  assert.match(await stageSet("hooks"), /moved from mirror to hooks/u);
  const one = await probe();
  assert.ok(isMarked(one));
  assert.ok(!(await inSidecar(one)));
  await everybodyReads();
});

step("back to observe: mail is as it comes", async () => {
  assert.match(await stageSet("observe"), /moved from hooks to observe/u);
  assert.ok(!isMarked(await probe()));
  await everybodyReads();
});

step(
  "everything that was accepted lies in Dovecot once, and both configurations are what they were",
  async () => {
    await mairust("setup", DOMAIN, "--undo", "--apply", ...site.places);
    await probe();
    await load.stop();
    await drained();
    await everybodyReads();
    const maybeTwice = Number(
      /^mairust_relay_maybe_twice_total (\d+)$/mu.exec(await metricsText(site.sidecar.apiSocket))?.[1] ?? 0,
    );
    let copies = 0;
    let looks = 0;
    let broken = 0;
    for (const [i, address] of ACCOUNTS.entries()) {
      const inbox = await at(site.master(address), "INBOX");
      const folder = await at(site.master(address), FOLDER);
      assert.deepEqual(
        folder.map(({ flags }) => flags),
        flagsOfOld(["\\Seen"]),
        "flags of old mail",
      );
      const found = new Map<string, number>();
      for (const { id } of [...inbox, ...folder]) found.set(id, (found.get(id) ?? 0) + 1);
      const taken = load.takenFor(address);
      assert.deepEqual(
        taken.filter(id => !found.has(id)),
        [],
        `lost for ${address}`,
      );
      copies += [...found.values()].reduce((sum, count) => sum + count - 1, 0);
      const seen = await readers[i]?.stop();
      assert.deepEqual(seen?.doubles.slice(maybeTwice), []);
      looks += seen?.looks ?? 0;
      broken += seen?.broken ?? 0;
    }
    assert.ok(copies <= maybeTwice, `${copies} copies too many, ${maybeTwice} are explained`);
    assert.equal(await site.configuration(), configuration);
    const text = `${load.count} messages, ${load.deferred} told to come again, ${copies} twice, ${looks} looks, ${broken} ended by a step`;
    console.log(text);
  },
);

/** Of the messages in the folder: the first two of four had flags. @param third  what users did to the third in store */
function flagsOfOld(third: readonly string[] = []): readonly (readonly string[])[] {
  return [OLD_FLAGS, OLD_FLAGS, third, []];
}
