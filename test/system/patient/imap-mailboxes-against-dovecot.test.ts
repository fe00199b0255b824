/**
 * LIST, LSUB, STATUS, NAMESPACE, ID, CAPABILITY, SELECT, EXAMINE, UNSELECT, CLOSE and what each state allows, asked of our service
 * and of a Dovecot with the same mailboxes. What differs has its reason beside the question.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { encodeModifiedUtf7 } from "../../../src/core/modified-utf7.ts";
import { mailboxAnswers, selectAnswers } from "../../lib/imap-answers.ts";
import type { ImapTestClient } from "../../lib/imap-client.ts";
import { type ImapPair, PASSWORD, SIDES, startImapPair, USER } from "../../lib/imap-pair.ts";
import { madeMail } from "../../lib/made-mail.ts";

const MAIL = madeMail(9);
/** Every account of ours begins with them. */
const DEFAULTS = ["Junk", "Sent", "Archive", "Trash", "Drafts"];
const MADE = [
  "work",
  "work/2025",
  "work/2025/q1",
  "deep/er/leaf",
  "日本語",
  "a & b",
  "INBOX/below",
  "wörk/x",
];
const SUBSCRIBED = [...DEFAULTS, "work/2025", "日本語", "deep/er/leaf"];
/** Sent, Drafts and Trash are not told: a client would save there (`list.ts`). */
const SPECIAL_USE = `namespace inbox {
  mailbox Junk {
    special_use = \\Junk
  }
  mailbox Archive {
    special_use = \\Archive
  }
}`;

let pair: ImapPair;
before(async () => {
  pair = await startImapPair(MAIL, SPECIAL_USE);
  for (const name of DEFAULTS) await pair.createMailbox(name, []);
  for (const name of MADE) await pair.createMailbox(name, name.startsWith("work") ? MAIL.slice(0, 4) : []);
  for (const name of ["INBOX", ...SUBSCRIBED]) await pair.both(`SUBSCRIBE "${encodeModifiedUtf7(name)}"`);
});
after(() => pair?.stop());

/** Commands as lines of text. */
const lines = (text: string) => text.split("\n").flatMap(line => (line.trim() === "" ? [] : [line.trim()]));

async function assertAlike(commands: readonly string[]): Promise<void> {
  const differing: unknown[] = [];
  for (const command of commands) {
    const { ours, dovecot } = await pair.both(command);
    const [a, b] = [mailboxAnswers(command, ours), mailboxAnswers(command, dovecot)];
    const only = (here: readonly string[], there: readonly string[]) =>
      here.filter(one => !there.includes(one));
    if (JSON.stringify(a) !== JSON.stringify(b))
      differing.push({ command, ours: only(a, b), dovecot: only(b, a) });
  }
  assert.deepEqual(differing, []);
}

test("LIST tells the same names with the same attributes, whatever the pattern", async () => {
  await assertAlike(
    lines(`
    LIST "" ""
    LIST "" "*"
    LIST "" *
    LIST "" "%"
    LIST "" "%/%"
    LIST "" "%/%/%"
    LIST "" "*/%"
    LIST "" inbox
    LIST "" "INBOX/*"
    LIST "" "inbox/below"
    LIST "" work
    LIST "" WORK
    LIST "" "work/*"
    LIST "" "work*"
    LIST "" "work/%"
    LIST "" "w%k/2025"
    LIST "work/" "%"
    LIST "work/2025" "*"
    LIST "work/2025/" "%"
    LIST "" "deep"
    LIST "" "deep/%"
    LIST "" "deep/*"
    LIST "" "&ZeVnLIqe-"
    LIST "" "*&ZeVnLIqe-"
    LIST "" "a &- b"
    LIST "" "w&APY-rk/%"
    LIST "" "nosuch"
    LIST "" "nosuch/*"
    LIST "" ("INBOX" "work/%" "Junk")`),
  );
});

test("extended LIST, LIST-STATUS and LSUB tell the same", async () => {
  await assertAlike(
    lines(`
    LIST (SUBSCRIBED) "" "*"
    LIST (SUBSCRIBED) "" "%"
    LIST (SUBSCRIBED RECURSIVEMATCH) "" "%"
    LIST (SUBSCRIBED RECURSIVEMATCH) "" "work"
    LIST (SUBSCRIBED) "" "*" RETURN (CHILDREN)
    LIST "" "*" RETURN (SUBSCRIBED)
    LIST "" "*" RETURN (CHILDREN SUBSCRIBED)
    LIST "" "%" RETURN (SPECIAL-USE)
    LIST (SPECIAL-USE) "" "*"
    LIST "" "work*" RETURN (STATUS (MESSAGES UNSEEN UIDNEXT SIZE))
    LIST "" "INBOX" RETURN (STATUS (MESSAGES RECENT UIDVALIDITY HIGHESTMODSEQ))
    LIST (SUBSCRIBED) "" "work*" RETURN (STATUS (MESSAGES))
    LSUB "" "*"
    LSUB "" "%"
    LSUB "" "work/%"
    LSUB "" "work/*"
    LSUB "" "deep/%"
    LSUB "" "nosuch"
    LSUB "" "inbox"
    LSUB "work/" "%"`),
  );
});

test("STATUS tells the same items with the same numbers", async () => {
  await assertAlike(
    lines(`
    STATUS INBOX (MESSAGES)
    STATUS inbox (MESSAGES UNSEEN UIDNEXT SIZE)
    STATUS "INBOX" (MESSAGES RECENT UIDNEXT UIDVALIDITY UNSEEN HIGHESTMODSEQ SIZE)
    STATUS work/2025 (UNSEEN MESSAGES)
    STATUS "&ZeVnLIqe-" (MESSAGES UIDNEXT)
    STATUS "a &- b" (messages unseen)
    STATUS work/2025 (MESSAGES MESSAGES)
    STATUS Nosuch (MESSAGES)
    STATUS deep (MESSAGES)`),
  );
});

test("SUBSCRIBE and UNSUBSCRIBE are seen by LSUB at once", async () => {
  await assertAlike(
    lines(`
    SUBSCRIBE work
    LSUB "" "work*"
    UNSUBSCRIBE work/2025
    LSUB "" "work*"
    LIST (SUBSCRIBED) "" "work*"
    UNSUBSCRIBE work
    SUBSCRIBE work/2025
    LSUB "" "*"`),
  );
});

/** What Dovecot tells and we do not, or otherwise. */
const SELECT_DIFFERS: ReadonlyMap<string, string> = new Map([
  ["UIDVALIDITY", "each server's own"],
  ["RECENT", "no message is ever \\Recent to us: nothing is changed by looking"],
  ["HIGHESTMODSEQ", "each server's own"],
  ["MAILBOXID", "of OBJECTID, which Dovecot 2.3 does not know"],
]);
/** More, for SELECT: we are read-only. */
const READ_ONLY = new Map([...SELECT_DIFFERS, ["PERMANENTFLAGS", "read-only"], ["tagged", "[READ-ONLY]"]]);

test("SELECT and EXAMINE tell the same about a mailbox, or for a reason something else", async () => {
  const needed = new Set<string>();
  for (const [verb, reasons] of [
    ["EXAMINE", SELECT_DIFFERS],
    ["SELECT", READ_ONLY],
  ] as const) {
    for (const name of ["INBOX", "inbox", "work/2025", "Archive", '"&ZeVnLIqe-"', '"INBOX/below"']) {
      const { ours, dovecot } = await pair.both(`${verb} ${name}`);
      const [a, b] = [selectAnswers(ours), selectAnswers(dovecot)];
      for (const kind of new Set([...a.keys(), ...b.keys()])) {
        if (a.get(kind) === b.get(kind)) continue;
        assert.ok(reasons.has(kind), `${verb} ${name} ${kind}: ${a.get(kind)} | ${b.get(kind)}`);
        needed.add(kind);
      }
      assert.equal(a.get("tagged"), "OK [READ-ONLY]");
      for (const kind of ["FLAGS", "EXISTS", "RECENT", "PERMANENTFLAGS", "UIDVALIDITY", "UIDNEXT"])
        assert.ok(a.has(kind), `${name} ${kind}`);
    }
  }
  assert.deepEqual([...needed].sort(), [...READ_ONLY.keys()].sort());
});

test("commands are allowed in the same states, before login, without and with a mailbox", async () => {
  const wrong: string[] = [];
  const compare = async (clients: readonly ImapTestClient[], command: string) => {
    const answers = await Promise.all(clients.map(client => client.command(command)));
    const [ours, dovecot] = answers.map(one => one.at(-1)?.split(" ", 1)[0]);
    if (ours !== dovecot) wrong.push(`${command}: ${answers.map(one => one.at(-1)).join(" | ")}`);
  };
  const needsMailbox = `
    FETCH 1 FLAGS
    UID FETCH 1 FLAGS
    SEARCH ALL
    UID SEARCH ALL
    CHECK
    CLOSE
    UNSELECT
    EXPUNGE
    STORE 1 FLAGS ()
    COPY 1 work`;
  // Each on a connection of its own: three commands that are not allowed end one of Dovecot's.
  for (const command of lines(`${needsMailbox}
    LIST "" "*"
    STATUS INBOX (MESSAGES)
    EXAMINE INBOX
    NAMESPACE
    IDLE
    SUBSCRIBE x
    NOOP
    CAPABILITY
    ID NIL
    LOGOUT`)) {
    const strangers = SIDES.map(side => pair.connect(side));
    for (const client of strangers) await client.line();
    await compare(strangers, command);
    await compare(strangers, `LOGIN ${USER} "${PASSWORD}"`);
    await compare(strangers, `LOGIN ${USER} "${PASSWORD}"`);
    for (const client of strangers) client.close();
  }
  const users = SIDES.map(side => pair.clients[side]);
  for (const command of lines(`EXAMINE INBOX
    UNSELECT
    ${needsMailbox}
    EXAMINE INBOX
    CLOSE
    ${needsMailbox}
    EXAMINE INBOX
    FETCH 1 FLAGS
    EXAMINE Nosuch
    ${needsMailbox}
    EXAMINE INBOX
    EXAMINE work
    FETCH 1:4 FLAGS
    FETCH 5 FLAGS
    NOOP
    CHECK`))
    await compare(users, command);
  assert.deepEqual(wrong, []);
});

/**
 * RFC 3501 §9 (seq-number) would have `*` answered with BAD where there is no message ("should"), as Dovecot does. To us it names
 * nothing: clients open a mailbox with `FETCH 1:*` before they know that it is empty, and a BAD looks like an error of theirs.
 */
const STAR_IN_NOTHING = ["FETCH 1:* FLAGS", "FETCH * FLAGS"];

test("an empty mailbox answers sets and searches alike", async () => {
  await pair.both("EXAMINE Archive");
  const wrong: unknown[] = [];
  for (const command of lines(`
    FETCH 1 FLAGS
    UID FETCH 1:* FLAGS
    UID FETCH * (FLAGS)
    UID FETCH 1:5,9 (UID ENVELOPE)
    SEARCH ALL
    SEARCH 1:*
    SEARCH *
    SEARCH 1
    UID SEARCH UID 1:*
    UID SEARCH NOT SEEN
    UID SEARCH SUBJECT x`)) {
    const { ours, dovecot } = await pair.both(command);
    const [a, b] = [ours, dovecot].map(answers => [
      ...answers.slice(0, -1),
      answers.at(-1)?.split(" ", 1)[0],
    ]);
    if (JSON.stringify(a) !== JSON.stringify(b)) wrong.push({ command, ours, dovecot });
  }
  for (const command of STAR_IN_NOTHING) {
    const { ours, dovecot } = await pair.both(command);
    assert.deepEqual([ours, dovecot[0]?.slice(0, 3)], [["OK FETCH completed"], "BAD"], command);
  }
  assert.deepEqual(wrong, []);
});

test("NAMESPACE, ID, CAPABILITY and LOGOUT have the same shape; we announce nothing that Dovecot does not know but OBJECTID", async () => {
  const namespace = await pair.both("NAMESPACE");
  assert.deepEqual(namespace.ours.slice(0, -1), namespace.dovecot.slice(0, -1));
  const id = await pair.both('ID ("name" "test" "version" NIL)');
  for (const side of SIDES)
    assert.match(id[side][0] ?? "", /^\* ID \((?:"[^"]*" (?:"[^"]*"|NIL) ?)+\)$/u, side);
  const known = new Set<string>();
  for (const side of ["dovecot", "ours"] as const) {
    const client = pair.connect(side);
    const greeting = await client.line();
    const asked = await client.command("CAPABILITY");
    // With the answer, or before it to who has asked already: both are sent unasked.
    const login = (await client.command(`LOGIN ${USER} "${PASSWORD}"`)).join(" ");
    const again = await client.command("CAPABILITY");
    const announced = [
      /^\* OK \[CAPABILITY ([^\]]+)\]/u.exec(greeting)?.[1],
      /^\* CAPABILITY (.+)$/u.exec(asked[0] ?? "")?.[1],
      /CAPABILITY (.+?)(?:\]| OK )/u.exec(login)?.[1],
      /^\* CAPABILITY (.+)$/u.exec(again[0] ?? "")?.[1],
    ].map(text => text?.split(" ") ?? []);
    assert.deepEqual([asked.length, again.length], [2, 2], side);
    for (const [i, list] of announced.entries()) {
      assert.equal(list[0], "IMAP4rev1", `${side} ${i}`);
      if (side === "dovecot") for (const name of list) known.add(name);
      else
        assert.deepEqual(
          list.filter(name => !known.has(name)),
          ["OBJECTID"],
          `${side} ${i}`,
        );
      assert.equal(list.includes("AUTH=PLAIN"), i < 2, `${side} ${i}`);
    }
    // What the greeting and the answer to LOGIN say is what CAPABILITY says at that time.
    if (side === "ours") assert.deepEqual([announced[0], announced[2]], [announced[1], announced[3]]);
    const logout = await client.command("LOGOUT");
    assert.match(logout[0] ?? "", /^\* BYE /u, side);
    assert.match(logout[1] ?? "", /^OK /u, side);
    assert.equal(await client.rest(), "", side);
  }
});
