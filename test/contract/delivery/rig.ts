/** Milter decisions and LMTP deliveries over a real database, with hooks that do what a test says and holds in memory. */

import { join } from "node:path";
import type { Deadline } from "../../../src/core/deadline.ts";
import { type Envelope, type EnvelopeRecipient, parseMailAddress } from "../../../src/core/envelope.ts";
import { messageId } from "../../../src/core/ids.ts";
import { DELIVER } from "../../../src/core/merge.ts";
import type { HeldMessage, Holds, NewHold } from "../../../src/core/ports/holds.ts";
import type {
  ChainOptions,
  HookDecision,
  HookPoint,
  HookRunner,
  MessageFacts,
  PointNeeds,
} from "../../../src/core/ports/hooks.ts";
import type { RecipientOutcome } from "../../../src/core/ports/intake.ts";
import type { MilterDecision, MilterEnvelope, ReservedField } from "../../../src/core/ports/milter.ts";
import type { SenderAuth } from "../../../src/core/ports/sender-auth.ts";
import type { Submissions } from "../../../src/core/ports/submissions.ts";
import { Intake } from "../../../src/delivery/intake.ts";
import type { IntakeOptions } from "../../../src/delivery/intake-options.ts";
import type { EditRules, SignedMail } from "../../../src/delivery/message-edits.ts";
import { HookDecider } from "../../../src/delivery/milter-decider.ts";
import { TraceFields } from "../../../src/delivery/trace-field.ts";
import { deadlineAfter } from "../../../src/platform/deadline.ts";
import { uuid7Generator } from "../../../src/platform/uuid7.ts";
import { type FsBlobStore, openFsBlobs } from "../../../src/store/blobs-fs.ts";
import { MailboxChanges } from "../../../src/store/changes.ts";
import { createMessageStore } from "../../../src/store/deliver.ts";
import { StoreDirectory } from "../../../src/store/directory.ts";
import { createVerdicts } from "../../../src/store/verdicts.ts";
import { silentLog, startTestDatabase, type TestDatabase } from "../../lib/database.ts";
import { NO_RELAY } from "../../lib/relay-parts.ts";

/** The service has submitted nothing. */
export const NO_SUBMISSIONS: Submissions = { take: async () => undefined };
/** `sender_auth.checks` is empty. */
export const NO_CHECKS: SenderAuth = {
  isOff: true,
  readsBody: false,
  check: () => Promise.reject(new Error("nothing is to be checked")),
  isOurs: () => false,
};
const BY = { priority: 100, name: "judge", pluginId: "com.example.judge", reason: "because" };
export const REJECT: HookDecision = {
  ...DELIVER,
  action: "reject",
  by: BY,
  reply: { code: 550, enhanced: "5.7.1", text: "not wanted" },
};
export const TEMPFAIL: HookDecision = {
  ...DELIVER,
  action: "tempfail",
  by: BY,
  reply: { code: 451, enhanced: "4.7.1", text: "later" },
};
export const HOLD: HookDecision = { ...DELIVER, action: "hold", by: BY };
export const tagged = (...tags: readonly string[]): HookDecision => ({
  ...DELIVER,
  tags,
  provenance: [{ plugin_id: BY.pluginId, hook: BY.name, changes: ["tags"] }],
});

/** Decides by point and recipient; who is watched gets `deliver`, as the Hook Manager does it. */
export class TestHooks implements HookRunner {
  readonly calls: {
    readonly point: HookPoint;
    readonly facts: MessageFacts;
    /** Of the chain's time. */
    readonly remainingMs: number;
    readonly options?: ChainOptions;
  }[] = [];
  /** Local part of the recipient to what the point says; absent: no hooks stand there. */
  decisions: Partial<Record<HookPoint, Readonly<Record<string, HookDecision>>>> = {};
  wanted: PointNeeds = { headers: true, body: true, hold: true };
  /** Done while a chain runs. */
  meanwhile: () => Promise<void> | void = () => undefined;

  has(point: HookPoint): boolean {
    return this.decisions[point] !== undefined;
  }

  needs(point: HookPoint): PointNeeds {
    return this.has(point) ? this.wanted : { headers: false, body: false, hold: false };
  }

  async run(point: HookPoint, facts: MessageFacts, deadline: Deadline, options?: ChainOptions) {
    const remainingMs = deadline.remainingMs();
    this.calls.push({ point, facts, remainingMs, ...(options === undefined ? {} : { options }) });
    await this.meanwhile();
    const each = new Map(
      facts.recipients.map(recipient => {
        const [local = ""] = recipient.split("@");
        const said = this.decisions[point]?.[local] ?? this.decisions[point]?.["*"] ?? DELIVER;
        const tags = [...new Set([...facts.tags, ...said.tags])];
        return [recipient, facts.observed.has(recipient) ? DELIVER : { ...said, tags }] as const;
      }),
    );
    return { each, events: [] };
  }

  /** The recipients of each call at a point. */
  asked(point: HookPoint): readonly (readonly string[])[] {
    return this.calls.filter(call => call.point === point).map(({ facts }) => facts.recipients);
  }
}

export class MemoryHolds implements Holds {
  readonly held: { readonly message: HeldMessage; readonly hold: NewHold }[] = [];
  error: Error | undefined;

  async hold(message: HeldMessage, holds: readonly NewHold[]) {
    if (this.error !== undefined) throw this.error;
    for (const hold of holds) this.held.push({ message, hold });
    return holds.map(() => ({ heldId: "h", already: undefined }));
  }
}

export const KEY = Buffer.alloc(32, 7);

export interface Sent {
  /** Of mail that is sent; default `taro`. */
  readonly login?: string;
  readonly to: readonly (
    | string
    | { readonly address: string; readonly orcpt?: string; readonly notify?: EnvelopeRecipient["notify"] }
  )[];
  readonly from?: string;
  readonly text?: string;
  readonly queueId?: string;
  readonly direction?: MilterEnvelope["direction"];
  readonly content?: MilterEnvelope["content"];
  readonly reserved?: readonly ReservedField[];
}

export class Rig {
  readonly database: TestDatabase;
  readonly blobs: FsBlobStore;
  directory: StoreDirectory;
  readonly hooks = new TestHooks();
  readonly holds = new MemoryHolds();
  readonly newId = uuid7Generator();
  now: () => Date = () => new Date();
  lateReject: "hold" | "reject" = "hold";
  submissions: Submissions = NO_SUBMISSIONS;
  signedMail: SignedMail = "refuse";
  senderAuth: SenderAuth = NO_CHECKS;
  /** `plugin item` of what was dropped. */
  readonly denied: string[] = [];
  /** What LMTP holds goes here, when it is not the ones in memory. */
  realHolds: Holds | undefined;
  /** Next hops and what is known of relayed mail; by default there are none. */
  relay: Partial<IntakeOptions["relay"]> = {};
  onStep: IntakeOptions["onStep"];
  successNotices: IntakeOptions["successNotices"];
  /** The whole time of a message. */
  waitMs = 20_000;

  private constructor(database: TestDatabase, blobs: FsBlobStore) {
    this.database = database;
    this.blobs = blobs;
    this.directory = new StoreDirectory(database.db);
  }

  /** What lies in the mailboxes of an account. */
  stored(address: string) {
    return this.database.db.query<{
      uid: number;
      mailbox: string;
      keywords: string[];
      prefix: Buffer;
      digest: string;
    }>`
      select e.uid, b.name as mailbox, e.keywords, e.prefix, encode(m.blob_digest, 'hex') as digest from entries e
      join mailboxes b on b.id = e.mailbox_id join accounts a on a.id = b.account_id join messages m using (message_id)
      where a.local_part || '@' || a.domain = ${address} order by e.uid`;
  }

  /** Copies of relayed mail that have no UID yet. */
  async waitingCopies(): Promise<number> {
    return (await this.database.db.query`select id from relay_copies`).length;
  }

  static async start(): Promise<Rig> {
    const database = await startTestDatabase();
    const blobs = await openFsBlobs({
      path: join(database.dir, "blobs"),
      compression: "brotli",
      minFreeBytes: () => 0,
      log: silentLog,
    });
    await database.db.query`
      insert into domains (name, accounts, stage)
      values ('example.test', 'auto', 'store'), ('other.test', 'auto', 'store'), ('watched.test', 'auto', 'observe')`;
    return new Rig(database, blobs);
  }

  async stop(): Promise<void> {
    await this.blobs.close();
    await this.database.stop();
  }

  get verdicts() {
    return createVerdicts(this.database.db);
  }

  get edits(): EditRules {
    return {
      signedMail: () => this.signedMail,
      acquire: async () => () => undefined,
      denied: (plugin, item) => this.denied.push(`${plugin} ${item}`),
    };
  }

  /** What both sides are given. */
  get #common() {
    const { db } = this.database;
    return {
      blobs: this.blobs,
      store: createMessageStore({
        db,
        changes: new MailboxChanges(db, silentLog),
        log: silentLog,
        redeliveryWindowS: () => 3600,
        confirmBlob: digest => this.blobs.confirm(digest),
        onCommit: () => undefined,
      }),
      directory: this.directory,
      hooks: this.hooks,
      holds: this.holds,
      edits: this.edits,
      verdicts: this.verdicts,
      trace: new TraceFields(() => [KEY]),
      log: silentLog,
      newMessageId: () => messageId(this.newId()),
      now: () => this.now(),
    };
  }

  decider(change: Partial<ConstructorParameters<typeof HookDecider>[0]> = {}): HookDecider {
    return new HookDecider({
      ...this.#common,
      submissions: this.submissions,
      senderAuth: this.senderAuth,
      limits: () => ({ messageBytes: 1_000_000, mime: { depth: 300, parts: 3000 } }),
      ...change,
    });
  }

  intake(): Intake {
    return new Intake({
      ...this.#common,
      hostname: "mail.example.test",
      limits: () => ({ receivedHeaders: 5, mime: { depth: 300, parts: 3000 } }),
      relay: { ...NO_RELAY, edits: this.edits, ...this.relay },
      ...(this.onStep === undefined ? {} : { onStep: this.onStep }),
      ...(this.successNotices === undefined ? {} : { successNotices: this.successNotices }),
      ...(this.realHolds === undefined ? {} : { holds: this.realHolds }),
      detailFolder: () => true,
      lateReject: () => this.lateReject,
    });
  }

  /** Ask the milter about a message. */
  async ask(sent: Sent, decider = this.decider()): Promise<MilterDecision> {
    const message = decider.open(milterEnvelope(sent));
    for (const part of (sent.text ?? TEXT).split(/(?<=\r\n\r\n)/u)) {
      if (!message.full) await message.write(Buffer.from(part, "latin1"));
    }
    return this.#inTime(deadline => message.decide(sent.reserved ?? [], deadline));
  }

  /** Deliver by LMTP; `text` as the MTA has it after the milter's edits. */
  async deliver(sent: Sent, intake = this.intake()): Promise<readonly RecipientOutcome[]> {
    const recipients = sent.to.map(recipientOf);
    const mailFrom = parseMailAddress(sent.from ?? "a@example.org");
    const resolved = await Promise.all(recipients.map(one => intake.checkRecipient(one, mailFrom)));
    const envelope: Envelope = {
      mailFrom,
      recipients,
      client: {
        ident: sent.queueId ?? this.newId(),
        address: "192.0.2.1",
        name: "mx.far.test",
        helo: "far.test",
      },
      peer: "unix",
      peerHelo: "mx",
      dsn: {},
      body8bit: false,
      smtpUtf8: false,
    };
    const stream = intake.open(envelope, resolved);
    await stream.write(Buffer.from(sent.text ?? TEXT, "latin1"));
    return this.#inTime(deadline => stream.finish(deadline));
  }

  async #inTime<T>(work: (deadline: ReturnType<typeof deadlineAfter>) => Promise<T>): Promise<T> {
    const deadline = deadlineAfter(this.waitMs);
    // Deadlines do not keep the process alive.
    const alive = setInterval(() => undefined, 1000);
    try {
      return await work(deadline);
    } finally {
      clearInterval(alive);
      deadline.dispose();
    }
  }

  /** Copies of an account, the oldest first. */
  async copies(
    address: string,
  ): Promise<readonly { readonly keywords: string[]; readonly prefix: string; readonly metadata: object }[]> {
    const [local = "", domain = ""] = address.split("@");
    const rows = await this.database.db.query<{ keywords: string[]; prefix: Buffer; metadata: object }>`
      select e.keywords, e.prefix, e.metadata from entries e join mailboxes m on m.id = e.mailbox_id
        join accounts a on a.id = m.account_id
      where a.local_part = ${local} and a.domain = ${domain} order by e.uid`;
    return rows.map(row => ({ ...row, prefix: row.prefix.toString() }));
  }
}

export const TEXT = "Subject: x\r\nFrom: a@example.org\r\n\r\nbody\r\n";

function recipientOf(to: Sent["to"][number]): EnvelopeRecipient {
  if (typeof to === "string") return { address: parseMailAddress(to) };
  return {
    address: parseMailAddress(to.address),
    ...(to.orcpt === undefined ? {} : { orcpt: to.orcpt }),
    ...(to.notify === undefined ? {} : { notify: to.notify }),
  };
}

export function milterEnvelope(sent: Sent): MilterEnvelope {
  return {
    direction: sent.direction ?? "inbound",
    content: sent.content ?? "whole",
    edits: new Set(["add_header", "insert_header", "change_header", "add_recipient"]),
    queueId: sent.queueId ?? "Q1",
    mta: "mx",
    daemonName: "",
    client: { address: "192.0.2.1", helo: "far.test" },
    mailFrom: parseMailAddress(sent.from ?? "a@example.org"),
    mailArgs: [],
    recipients: sent.to.map(to => ({ ...recipientOf(to), args: [] })),
    dsn: {},
    body8bit: false,
    smtpUtf8: false,
    ...(sent.direction === "outbound" ? { auth: { user: sent.login ?? "taro" } } : {}),
  };
}

/** The trace field that a decision inserts. */
export function traceOf(decision: MilterDecision): string | undefined {
  if (decision.kind !== "accept") return undefined;
  const edit = decision.edits.find(one => one.kind === "insert_header");
  return edit?.kind === "insert_header" ? `${edit.name}: ${edit.value}\r\n` : undefined;
}

export const kinds = (outcomes: readonly RecipientOutcome[]) =>
  outcomes.map(one => {
    if (one.kind === "failed") return one.error.code;
    if (one.kind === "refused") return `${one.code}`;
    return one.kind === "stored" && one.already ? "already" : one.kind;
  });

/** As {@link kinds}, with the code that a relay was answered with. */
export const said = (outcomes: readonly RecipientOutcome[]) =>
  outcomes.map(one =>
    one.kind === "relayed" ? `${one.code}` : one.kind === "failed" ? one.error.code : one.kind,
  );
