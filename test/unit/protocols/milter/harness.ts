/**
 * A milter session without sockets, and a decider that keeps messages in memory. What the decider answers follows from the first
 * recipient's local part: see {@link MemoryDecider}.
 */
import type { Deadline } from "../../../../src/core/deadline.ts";
import { MairustError } from "../../../../src/core/errors.ts";
import type { Log, LogFields } from "../../../../src/core/ports/log.ts";
import type {
  MilterDecider,
  MilterDecision,
  MilterEdit,
  MilterEnvelope,
  MilterMessage,
  MilterNeeds,
  ReservedField,
} from "../../../../src/core/ports/milter.ts";
import { addressesIn } from "../../../../src/platform/networks.ts";
import { PacketReader } from "../../../../src/protocols/milter/framing.ts";
import { DEFAULT_LIMITS, type MilterLimits } from "../../../../src/protocols/milter/limits.ts";
import type { SocketKind } from "../../../../src/protocols/milter/negotiation.ts";
import { type MilterMetrics, MilterSession } from "../../../../src/protocols/milter/session.ts";
import * as p from "../../../lib/milter-packets.ts";
import { AnswerReader, show } from "../../../lib/milter-packets.ts";

export const ALL_NEEDS: MilterNeeds = {
  headers: true,
  body: true,
  hold: false,
  recipients: true,
  replaceBody: true,
  quarantine: true,
};

export interface DecidedMessage {
  readonly envelope: MilterEnvelope;
  /** latin1, so that every byte is a character. */
  readonly content: string;
  readonly reserved: readonly ReservedField[];
}

/**
 * Local parts of the first recipient with a meaning: `refuse`, `defer`, `discard`, `edit` (the edits in `edits`), `openfail`,
 * `writefail` (a write rejects), `writethrow`, `throw` (decide rejects), `hang` (decide never settles), `enough` (full at once).
 * Others are accepted.
 */
export class MemoryDecider implements MilterDecider {
  readonly decided: DecidedMessage[] = [];
  readonly aborted: MilterEnvelope[] = [];
  readonly opened: MilterEnvelope[] = [];
  /** All deadlines given. */
  readonly deadlines: Deadline[] = [];
  edits: readonly MilterEdit[] = [];
  /** Trace id of every message. */
  id = "";
  wanted: MilterNeeds = ALL_NEEDS;
  /** Set to hold every decision, every write back. */
  gate: Promise<void> | undefined;
  writeGate: Promise<void> | undefined;

  needs(): MilterNeeds {
    return this.wanted;
  }

  open(envelope: MilterEnvelope): MilterMessage {
    const local = envelope.recipients[0]?.address.local ?? "";
    if (local === "openfail") throw new MairustError("store_unavailable", "away");
    this.opened.push(envelope);
    const chunks: Buffer[] = [];
    return {
      id: this.id,
      full: local === "enough",
      write: chunk => {
        if (local === "writethrow") throw new MairustError("disk_full", "no room");
        if (local === "writefail") return Promise.reject(new MairustError("message_too_large", "too large"));
        chunks.push(Buffer.from(chunk));
        return this.writeGate;
      },
      decide: async (reserved, deadline) => {
        this.deadlines.push(deadline);
        await this.gate;
        if (local === "throw") throw new TypeError("a bug");
        if (local === "hang") await new Promise(() => {});
        this.decided.push({ envelope, content: Buffer.concat(chunks).toString("latin1"), reserved });
        return this.#decision(local);
      },
      abort: async () => void this.aborted.push(envelope),
    };
  }

  #decision(local: string): MilterDecision {
    switch (local) {
      case "refuse":
        return { kind: "refuse", code: 550, enhanced: "5.7.1", lines: ["not 100% wanted"] };
      case "defer":
        return { kind: "refuse", code: 451, enhanced: "4.7.1", lines: ["later", "please"] };
      case "discard":
        return { kind: "discard" };
      default:
        return { kind: "accept", edits: local === "edit" ? this.edits : [] };
    }
  }
}

/** Metrics and log lines as short texts. */
export class Counted {
  readonly results: string[] = [];
  readonly faults: string[] = [];
  readonly logged: string[] = [];
  readonly errors: string[] = [];
  open = 0;

  readonly metrics: MilterMetrics = {
    message: result => void this.results.push(result),
    duration() {},
    protocolError: fault => void this.faults.push(fault),
    connections: open => {
      this.open = open;
    },
  };

  readonly log: Log = {
    debug() {},
    info: event => void this.logged.push(event),
    warn: event => void this.logged.push(event),
    error: (event: string, fields?: LogFields) =>
      void this.errors.push(`${event} ${fields?.error instanceof Error ? fields.error.stack : ""}`),
    child: () => this.log,
  };
}

export interface TalkOptions {
  readonly socket?: SocketKind;
  readonly limits?: Partial<MilterLimits>;
  readonly chainTimeoutMs?: number;
  readonly decider?: MemoryDecider;
}

/** A session and what it says. */
export class Talk {
  readonly decider: MemoryDecider;
  readonly counted = new Counted();
  readonly session: MilterSession;
  /** Each write as it was given. */
  readonly writes: Buffer[] = [];
  closed = false;
  readonly #reader = new PacketReader(1_048_576);
  readonly #answers = new AnswerReader();
  #read = 0;

  constructor({ socket = "tcp", limits = {}, chainTimeoutMs = 5_000, decider }: TalkOptions = {}) {
    this.decider = decider ?? new MemoryDecider();
    const port = {
      write: (packets: Buffer) => void this.writes.push(Buffer.from(packets)),
      close: () => {
        this.closed = true;
      },
    };
    this.session = new MilterSession(port, socket, {
      decider: this.decider,
      limits: { ...DEFAULT_LIMITS, ...limits },
      chainTimeoutMs,
      outbound: { daemons: ["ORIGINATING"], isInNetwork: addressesIn(["198.51.100.0/24"]) },
      log: this.counted.log,
      metrics: this.counted.metrics,
    });
  }

  /** Send packets one after the other, as the server does. @returns the answers since the last call */
  async send(...packets: readonly Buffer[]): Promise<readonly string[]> {
    // The timers of deadlines do not keep the process.
    const awake = setInterval(() => {}, 1_000);
    this.#reader.push(Buffer.concat(packets));
    for (let packet = this.#reader.next(); packet !== undefined; packet = this.#reader.next()) {
      await this.session.receive(packet);
    }
    clearInterval(awake);
    return this.answers();
  }

  answers(): readonly string[] {
    const fresh = this.writes.slice(this.#read);
    this.#read = this.writes.length;
    return fresh.flatMap(write => this.#answers.push(write)).map(show);
  }
}

/** A session past negotiation, CONNECT and HELO; its answers so far are dropped. */
export async function connected(options: TalkOptions = {}): Promise<Talk> {
  const talk = new Talk(options);
  await talk.send(p.optneg(), p.connect(), p.helo());
  return talk;
}

/** MAIL, RCPT and DATA to one recipient. */
export const START = (to: string, queueId = "Q1") => [
  p.macros("M", { "{auth_authen}": "" }),
  p.mail("<a@example.com>"),
  p.macros("R", { "{rcpt_addr}": to }),
  p.rcpt(`<${to}@example.com>`),
  p.macros("T", { i: queueId }),
  p.data(),
];
