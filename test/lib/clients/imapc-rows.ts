/**
 * What a client says to Dovecot and what Dovecot 2.3 then asks the service through imapc, row by row, with
 * `dovecot/stage-store.conf`. Found on the wire with 2.3.19.1; the tests hold the service to it. `IDLE` and `DONE`, which imapc puts
 * around everything after 100 ms of quiet, are left out. UIDs are those of the mailbox that the test fills.
 */

export interface ImapcRow {
  readonly client: string;
  /** What follows the `{n}` at the end of `client`. */
  readonly literal?: string;
  /** Each command that goes upstream, in order; a pattern may stand for a list of UIDs. */
  readonly upstream: readonly (string | RegExp)[];
  /** Must be in the answer to the client: untagged lines and the tagged one, joined by line breaks. */
  readonly answer: RegExp;
  /** Dovecot asks for the mailboxes again when its clock has gone to another second since it did. */
  readonly mayList?: boolean;
}

/** Messages in INBOX; flags and dates by `messages.ts`. */
export const ROW_MESSAGES = 30;
const ALL = Array.from({ length: ROW_MESSAGES }, (_, i) => i + 1).join(",");
const OPENED = ["UID FETCH 1:* (FLAGS)"];
/** The first command of a session that needs the service. */
const LOGGED_IN = [
  /^ID \("name" "Dovecot" "x-session-ext-id" "[^"]+"\)$/u,
  /^AUTHENTICATE PLAIN \S+$/u,
  'LIST "" ""',
];
const UPSTREAM_REFUSED =
  /^NO \[NOPERM\] (?:Messages|Mailboxes) cannot be \w+ here, mail is read-only over IMAP/mu;
const ACL_REFUSED = /^NO \[NOPERM\] Permission denied/mu;

/** Reading, with the configuration as shipped; in this order, in one session. */
export const READING: readonly ImapcRow[] = [
  {
    client: 'LIST "" "*"',
    upstream: [...LOGGED_IN, 'LIST "" "*"', 'LIST "" "*"'],
    answer: /^\* LIST \(\\HasNoChildren \\Junk\) "\/" Junk$/mu,
  },
  { client: 'LSUB "" "*"', upstream: ['LSUB "" "*"'], answer: /^\* LSUB \(\) "\/" INBOX$/mu },
  {
    client: 'LIST "" "*" RETURN (STATUS (MESSAGES))',
    upstream: [
      'LIST "" "*"',
      ...["Archive", "Drafts", "Junk", "Sent", "Trash"].map(name => `STATUS "${name}" (MESSAGES)`),
      ...["", "", ""].flatMap(() => ['EXAMINE "INBOX"', ...OPENED]),
      'LIST "" "*"',
      'STATUS "INBOX" (MESSAGES)',
    ],
    answer: /^\* STATUS INBOX \(MESSAGES 30\)$/mu,
  },
  {
    client: "STATUS INBOX (MESSAGES UIDNEXT UIDVALIDITY UNSEEN)",
    upstream: ['STATUS "INBOX" (MESSAGES UIDNEXT UIDVALIDITY UNSEEN)'],
    answer: /^\* STATUS INBOX \(MESSAGES 30 UIDNEXT 31 UIDVALIDITY \d+ UNSEEN 17\)$/mu,
  },
  {
    client: "STATUS INBOX (SIZE)",
    upstream: ['EXAMINE "INBOX"', ...OPENED, `UID FETCH ${ALL} (RFC822.SIZE)`],
    answer: /^\* STATUS INBOX \(SIZE [1-9]\d+\)$/mu,
  },
  { client: "EXAMINE INBOX", upstream: ['EXAMINE "INBOX"', ...OPENED], answer: /^OK \[READ-ONLY\]/mu },
  { client: "UNSELECT", upstream: [], answer: /^OK/mu },
  { client: "SELECT INBOX", upstream: ['SELECT "INBOX"', ...OPENED], answer: /^\* 30 EXISTS$/mu },
  {
    client: "FETCH 1:* (UID FLAGS)",
    upstream: [],
    answer: /^\* 6 FETCH \(UID 6 FLAGS \(\\Flagged project-a\)\)$/mu,
  },
  {
    client: "FETCH 3:5 (RFC822.SIZE INTERNALDATE)",
    upstream: ["UID FETCH 3,4,5 (INTERNALDATE)"],
    answer: /^\* 3 FETCH \(RFC822\.SIZE \d+ INTERNALDATE "31-Mar-2019 01:45:14 \+0000"\)$/mu,
  },
  {
    client: "FETCH 3 (ENVELOPE)",
    upstream: ["UID FETCH 3 (BODY.PEEK[HEADER])"],
    answer:
      /^\* 3 FETCH \(ENVELOPE \("Sun, 31 Mar 2019 01:45:14 \+0000" "message 2 of many" \(\("Sender 2"/mu,
  },
  {
    client: "FETCH 5 (BODY.PEEK[HEADER.FIELDS (SUBJECT)])",
    upstream: ["UID FETCH 5 (BODY.PEEK[HEADER.FIELDS (SUBJECT)])"],
    answer: /^\* 5 FETCH \(BODY\[HEADER\.FIELDS \(SUBJECT\)\] \{30\}\)$/mu,
  },
  {
    client: "FETCH 7:9 (BODYSTRUCTURE)",
    upstream: ["UID FETCH 7,8,9 (BODYSTRUCTURE)"],
    answer:
      /^\* 8 FETCH \(BODYSTRUCTURE \(\("text" "plain" .*\)\("application" "octet-stream" \("name" "7\.bin"\)/mu,
  },
  {
    client: "FETCH 8 (BODY.PEEK[1])",
    upstream: ["UID FETCH 8 (BODY.PEEK[])"],
    answer: /^\* 8 FETCH \(BODY\[1\] \{\d+\}\)$/mu,
  },
  {
    client: "FETCH 9 (BODY.PEEK[]<10.20>)",
    upstream: ["UID FETCH 9 (BODY.PEEK[])"],
    answer: /^\* 9 FETCH \(BODY\[\]<10> \{20\}\)$/mu,
  },
  {
    client: "FETCH 10:12 (PREVIEW)",
    upstream: ["UID FETCH 10,11,12 (BODY.PEEK[])"],
    answer: /^\* 11 FETCH \(PREVIEW \{\d+\}\)$/mu,
  },
  {
    client: "UID SEARCH TEXT message",
    upstream: ["UID SEARCH TEXT message"],
    answer: new RegExp(`^\\* SEARCH ${ALL.replaceAll(",", " ")}$`, "mu"),
  },
  // Evaluated by Dovecot itself this panics: dates are not in its cache.
  {
    client: "UID SEARCH SUBJECT many SINCE 31-Mar-2019 BEFORE 1-Apr-2019",
    upstream: ['UID SEARCH SUBJECT many SINCE "31-Mar-2019" BEFORE "01-Apr-2019"'],
    answer: /^\* SEARCH 2 3 4 5 7 8 /mu,
  },
  {
    client: "SEARCH OR FROM sender7 NOT LARGER 600",
    upstream: ["UID SEARCH OR FROM sender7 NOT LARGER 600"],
    answer: /^\* SEARCH .*\b8\b/mu,
  },
  {
    client: "SEARCH CHARSET UTF-8 BODY {9}",
    literal: "日本語",
    upstream: ["UID SEARCH BODY {9}"],
    answer: /^\* SEARCH 1 2 3 4 5 6 7 9 /mu,
  },
  { client: "SEARCH OLDER 10", upstream: ["UID SEARCH OLDER 10"], answer: /^\* SEARCH 1 2 3 /mu },
  { client: "SEARCH FLAGGED", upstream: [], answer: /^\* SEARCH 4 6 11 13 18 20 25 27$/mu },
  { client: "SEARCH KEYWORD project-a", upstream: [], answer: /^\* SEARCH 6 13 20 27$/mu },
  {
    client: "SORT (ARRIVAL) US-ASCII 1:3",
    upstream: ["UID FETCH 1 (INTERNALDATE)", "UID FETCH 2 (INTERNALDATE)"],
    answer: /^\* SORT 1 2 3$/mu,
  },
  {
    client: "THREAD ORDEREDSUBJECT US-ASCII 1:2",
    // Twice: for the subject, and for the date.
    upstream: [1, 2, 2, 1].map(uid => `UID FETCH ${uid} (BODY.PEEK[HEADER])`),
    answer: /^\* THREAD \(1\)\(2\)$/mu,
  },
  { client: "NOOP", upstream: [], answer: /^OK/mu },
  { client: "CHECK", upstream: ["NOOP"], answer: /^OK/mu },
  { client: "SUBSCRIBE Trash", upstream: ['LSUB "" "*"'], answer: /^OK/mu, mayList: true },
  { client: "UNSUBSCRIBE Trash", upstream: ['UNSUBSCRIBE "Trash"'], answer: /^OK/mu, mayList: true },
  { client: "CLOSE", upstream: [], answer: /^OK/mu },
];

/** Writing, with the configuration as shipped: Dovecot's ACL and private `\Seen` keep all of it away from the service. */
export const WRITING_SHIPPED: readonly ImapcRow[] = [
  {
    client: "SELECT INBOX",
    upstream: [...LOGGED_IN, 'SELECT "INBOX"', ...OPENED],
    answer: /^OK \[READ-WRITE\]/mu,
  },
  { client: "STORE 1 +FLAGS (\\Flagged)", upstream: [], answer: /^OK/mu },
  { client: "FETCH 1 (FLAGS)", upstream: [], answer: /^\* 1 FETCH \(FLAGS \(\)\)$/mu },
  { client: "STORE 1 +FLAGS (\\Seen)", upstream: [], answer: /^\* 1 FETCH \(FLAGS \(\\Seen\)\)$/mu },
  {
    client: "FETCH 14 (BODY[TEXT])",
    upstream: ["UID FETCH 14 (BODY.PEEK[])"],
    answer: /^\* 14 FETCH \(FLAGS \(\\Seen \$Forwarded\) BODY\[TEXT\] /mu,
  },
  { client: "COPY 1 Archive", upstream: [], answer: ACL_REFUSED },
  { client: "MOVE 1 Archive", upstream: [], answer: ACL_REFUSED },
  {
    client: "COPY 2 Local/Trash",
    upstream: ["UID FETCH 2 (BODY.PEEK[])"],
    answer: /^OK \[COPYUID/mu,
  },
  { client: "EXPUNGE", upstream: [], answer: /^OK/mu },
  { client: "CREATE New", upstream: [], answer: ACL_REFUSED },
  { client: "RENAME Archive Other", upstream: ['LIST "" "*"'], answer: ACL_REFUSED },
  { client: "DELETE Archive", upstream: [], answer: ACL_REFUSED },
  { client: "APPEND INBOX {14}", literal: "Subject: a\r\n\r\n", upstream: [], answer: ACL_REFUSED },
  { client: "LOGOUT", upstream: ["LOGOUT"], answer: /^\* BYE Logging out$/mu },
];

/** The same without ACL and private index: what a configuration that leaves them out sends, and what the service says to it. */
export const WRITING_BARE: readonly ImapcRow[] = [
  {
    client: "SELECT INBOX",
    upstream: [...LOGGED_IN, 'SELECT "INBOX"', ...OPENED],
    answer: /^OK \[READ-WRITE\]/mu,
  },
  // imapc swallows the service's NO: the flag is shown until the mailbox is opened again.
  {
    client: "STORE 1 +FLAGS (\\Flagged)",
    upstream: ["UID STORE 1 +FLAGS (\\Flagged)"],
    answer: /^\* 1 FETCH \(FLAGS \(\\Flagged\)\)$/mu,
  },
  { client: "COPY 1 Archive", upstream: ["UID COPY 1 Archive"], answer: UPSTREAM_REFUSED },
  {
    client: "MOVE 1 Archive",
    upstream: [/^ID /u, /^AUTHENTICATE PLAIN /u, 'SELECT "INBOX"', ...OPENED, "UID COPY 1 Archive"],
    answer: UPSTREAM_REFUSED,
  },
  { client: "CREATE New", upstream: ['CREATE "New"'], answer: UPSTREAM_REFUSED },
  {
    client: "RENAME Archive Other",
    upstream: ['LIST "" "*"', 'RENAME "Archive" "Other"'],
    answer: UPSTREAM_REFUSED,
  },
  { client: "DELETE Archive", upstream: ["UNSELECT", 'DELETE "Archive"'], answer: UPSTREAM_REFUSED },
  {
    client: "APPEND INBOX {14}",
    literal: "Subject: a\r\n\r\n",
    upstream: ['APPEND "INBOX" {14}'],
    answer: UPSTREAM_REFUSED,
  },
  { client: "SELECT INBOX", upstream: ['SELECT "INBOX"', ...OPENED], answer: /^\* 30 EXISTS$/mu },
  { client: "FETCH 1 (FLAGS)", upstream: [], answer: /^\* 1 FETCH \(FLAGS \(\)\)$/mu },
  { client: "LOGOUT", upstream: ["LOGOUT", "LOGOUT"], answer: /^\* BYE Logging out$/mu },
];
