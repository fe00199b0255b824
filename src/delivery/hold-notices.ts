/**
 * Tells people of held mail: its owner (of mail held at LMTP the account, of mail from outside that Postfix was about to take the accounts
 * that it is for, of mail on its way out its sender), and whoever is to decide (`hold.approvers`). In digests, by the outbox.
 *
 * Bounded: an address gets at most one digest an hour; a digest shows at most {@link MAX_LINES} messages and counts the others; a hold has at
 * most {@link MAX_OWNERS} owners. No loop: digests have the null sender and say that they are automatic, and of mail that is automatic, a
 * held digest among it, nobody is told. Who sent a message is never asked to decide about it.
 *
 * What fails how: what could not be looked up or queued is tried again by the next run; nothing is told twice, as a digest is queued under
 * its id. Sources: mail-path.md §4; RFC 3834 §2, §5
 */
import { parseMailAddress } from "../core/envelope.ts";
import { decodeHeaderValue, headerFields } from "../core/mime/header.ts";
import type { Directory } from "../core/ports/directory.ts";
import type { HeldRecord } from "../core/ports/hold-admin.ts";
import type { HoldNotices, NoticeReader } from "../core/ports/hold-notices.ts";
import type { Log } from "../core/ports/log.ts";
import type { Outbox } from "../core/ports/outbox.ts";
import { digestMail } from "./hold-digest.ts";

/** Accounts that one message may belong to, for notices. */
export const MAX_OWNERS = 20;
/** Messages that one digest shows. */
export const MAX_LINES = 50;
/** Holds of one step, steps and digests of one run: the rest waits for the next. */
const STEP = 200;
const MAX_STEPS = 50;
const MAX_DIGESTS = 500;

export interface HoldNoticeOptions {
  readonly notices: HoldNotices;
  readonly outbox: Pick<Outbox, "queue">;
  readonly directory: Pick<Directory, "findAccount" | "findDomain">;
  /** `hold.notify_owner` and `hold.approvers` now in effect. */
  readonly notifyOwner: () => boolean;
  readonly approvers: () => readonly string[];
  /** Canonical form of an address; one that has none as it is. */
  readonly canonical: (raw: string) => string;
  readonly hostname: string;
  readonly log: Log;
  readonly now: () => Date;
}

/** One run. @throws {MairustError} `store_unavailable`: the next run goes on */
export async function tellOfHolds(options: HoldNoticeOptions): Promise<void> {
  const { notices, outbox, hostname, log, now } = options;
  for (let i = 0; i < MAX_STEPS; i++) {
    const due = await notices.due(STEP);
    const readers = new Map<string, readonly NoticeReader[]>();
    for (const { record, header } of due)
      readers.set(record.id, isAutomatic(record, header) ? [] : await readersOf(options, record));
    if (due.length > 0) await notices.assign(readers);
    if (due.length < STEP) break;
  }
  for (const digest of await notices.digests({ digests: MAX_DIGESTS, entries: MAX_LINES })) {
    // Its holds were forgotten meanwhile.
    if (digest.total > 0)
      await outbox.queue({
        purpose: "notice",
        mailFrom: "",
        recipients: [{ address: parseMailAddress(digest.address), notify: ["NEVER"] }],
        content: { kind: "bytes", bytes: digestMail(digest, hostname, now()) },
        key: `hold-digest/${digest.id}`,
      });
    await notices.queued(digest.id);
    log.info("told of held mail", { to: digest.address, digest: digest.id, holds: digest.total });
  }
}

/** RFC 3834 §2: nothing automatic answers what is automatic itself. */
function isAutomatic({ mailFrom }: HeldRecord, header: Uint8Array | undefined): boolean {
  if (mailFrom === "") return true;
  for (const { name, value } of headerFields(header ?? new Uint8Array(0))) {
    if (name === "auto-submitted" && !/^\s*no\s*(?:;|$)/iu.test(decodeHeaderValue(value))) return true;
  }
  return false;
}

async function readersOf(options: HoldNoticeOptions, record: HeldRecord): Promise<readonly NoticeReader[]> {
  const { canonical, approvers, notifyOwner } = options;
  const owners = notifyOwner() ? await ownersOf(options, record) : [];
  const sender = record.point === "pre_send" ? senders(record, canonical) : new Set<string>();
  const readers = new Map<string, NoticeReader>();
  for (const address of owners) readers.set(address, { address, role: "owner" });
  for (const address of approvers().map(canonical))
    if (!sender.has(address)) readers.set(address, { address, role: "approver" });
  return [...readers.values()];
}

const senders = ({ mailFrom, authUser }: HeldRecord, canonical: (raw: string) => string) =>
  new Set([mailFrom, authUser ?? ""].map(canonical));

async function ownersOf(
  { directory, canonical }: HoldNoticeOptions,
  { point, account, mailFrom, recipients }: HeldRecord,
): Promise<readonly string[]> {
  if (account !== undefined) return [account];
  if (point === "pre_send") {
    // A sender that is not ours may be anybody's.
    const domain = await directory.findDomain(parseMailAddress(mailFrom).domain);
    return domain === undefined ? [] : [canonical(mailFrom)];
  }
  const found = new Set<string>();
  for (const { address } of recipients.slice(0, MAX_OWNERS)) {
    const owner = await directory.findAccount(address);
    if (owner !== undefined && owner.account.address !== "") found.add(owner.account.address);
  }
  return [...found];
}
