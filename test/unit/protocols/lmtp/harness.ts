/**
 * A real LMTP server on a loopback port with an intake that keeps messages in memory, and a client that speaks bytes.
 * What the intake does with a recipient follows from its local part: see {@link MemoryIntake}.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, type Server, type Socket } from "node:net";
import type { Deadline } from "../../../../src/core/deadline.ts";
import type { Envelope, EnvelopeRecipient } from "../../../../src/core/envelope.ts";
import { type ErrorCode, MairustError } from "../../../../src/core/errors.ts";
import { accountId, messageId } from "../../../../src/core/ids.ts";
import type { ResolvedRecipient } from "../../../../src/core/ports/directory.ts";
import type { IntakeStream, MessageIntake, RecipientOutcome } from "../../../../src/core/ports/intake.ts";
import type { Log, LogFields } from "../../../../src/core/ports/log.ts";
import {
  createLmtpServer,
  type LmtpServer,
  type LmtpServerConfig,
} from "../../../../src/protocols/lmtp/server.ts";

export const MESSAGE_ID = messageId("01890000-0000-7000-8000-000000000001");

export interface TakenMessage {
  readonly envelope: Envelope;
  /** latin1, so that every byte is a character. */
  readonly content: string;
}

/** Refusals at RCPT by local part. */
const RCPT_ERRORS: Readonly<Record<string, ErrorCode>> = {
  nobody: "unknown_account",
  full: "over_quota",
  away: "store_unavailable",
  leaving: "draining",
};

/** Failures at the final dot by local part. */
const FINAL_ERRORS: Readonly<Record<string, ErrorCode>> = {
  loop: "mail_loop",
  broken: "internal",
  late: "deadline",
};

/**
 * Takes mail for any domain but `elsewhere.example`. Local parts with a meaning: `nobody`, `full`, `away`, `leaving`
 * (refused at RCPT), `thrower` (throws no MairustError), `nodisk` (`open` throws), `writefail` (a write rejects),
 * `stored` / `again` (stored, already stored), `refused` (a hook's verdict), `loop`, `broken`, `late`.
 */
export class MemoryIntake implements MessageIntake {
  readonly taken: TakenMessage[] = [];
  readonly aborted: Envelope[] = [];
  /** Set to hold every `finish` back until it resolves. */
  gate: Promise<void> | undefined;
  /** Set to hold every write back. */
  writeGate: Promise<void> | undefined;
  /** Most bytes handed over and not yet let go by `writeGate`. */
  lastDeadline: Deadline | undefined;
  /** Replaces the outcomes, to break the contract. */
  outcomes: ((normal: RecipientOutcome[]) => RecipientOutcome[] | Promise<RecipientOutcome[]>) | undefined;

  /** Set to hold every recipient check back. */
  rcptGate: Promise<void> | undefined;
  /** Recipient checks and messages begun. */
  checks = 0;
  opened = 0;
  /** Queue id that is known once the message was read. */
  receivedQueueId = "";

  async checkRecipient(recipient: EnvelopeRecipient): Promise<ResolvedRecipient> {
    this.checks += 1;
    await this.rcptGate;
    const { local, domain } = recipient.address;
    if (domain === "elsewhere.example") throw new MairustError("unknown_domain", "no such domain");
    if (local === "thrower") throw new TypeError("a bug");
    const code = RCPT_ERRORS[local];
    if (code !== undefined) throw new MairustError(code, `refused at RCPT: ${code}`);
    return {
      account: {
        id: accountId(1),
        address: recipient.address.raw,
        domain,
        quotaBytes: 0,
        usedBytes: 0,
        usedMessages: 0,
      },
      domain: {
        name: domain,
        tenant: "main",
        stage: "store",
        accounts: "auto",
        quotaBytes: 0,
        relayLmtp: undefined,
        hasAccountStages: false,
      },
      stage: "store",
    };
  }

  open(envelope: Envelope): IntakeStream {
    const has = (local: string) => envelope.recipients.some(recipient => recipient.address.local === local);
    if (has("nodisk")) throw new MairustError("disk_full", "no room");
    this.opened += 1;
    const chunks: Buffer[] = [];
    const stream = {
      queueId: envelope.client.ident ?? "",
      write: (chunk: Uint8Array) => {
        if (has("writefail")) return Promise.reject(new MairustError("disk_full", "no room"));
        chunks.push(Buffer.from(chunk));
        return this.writeGate;
      },
      finish: async (deadline: Deadline) => {
        this.lastDeadline = deadline;
        if (this.receivedQueueId !== "") stream.queueId = this.receivedQueueId;
        await this.gate;
        this.taken.push({ envelope, content: Buffer.concat(chunks).toString("latin1") });
        const normal = envelope.recipients.map(outcomeOf);
        return this.outcomes === undefined ? normal : this.outcomes(normal);
      },
      abort: async () => {
        this.aborted.push(envelope);
      },
    };
    return stream;
  }
}

function outcomeOf(recipient: EnvelopeRecipient): RecipientOutcome {
  const { local } = recipient.address;
  const code = FINAL_ERRORS[local];
  if (code !== undefined) return { kind: "failed", error: new MairustError(code, "failed"), id: MESSAGE_ID };
  if (local === "refused") {
    return { kind: "refused", code: 550, enhanced: "5.7.1", text: "not wanted", id: MESSAGE_ID };
  }
  return { kind: "stored", already: local === "again", id: MESSAGE_ID };
}

export interface LogLine {
  readonly level: string;
  readonly event: string;
  readonly fields: LogFields | undefined;
}

const DEFAULTS: LmtpServerConfig = {
  hostname: "mx.example.com",
  connections: 50,
  xforwardFrom: ["127.0.0.0/8"],
  chainTimeoutMs: 30_000,
  messageBytes: 1_048_576,
};

export class Harness {
  readonly intake = new MemoryIntake();
  readonly results: string[] = [];
  readonly logged: LogLine[] = [];
  readonly lmtp: LmtpServer;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(config: Partial<LmtpServerConfig>) {
    this.lmtp = createLmtpServer({
      // Descriptors, not a spread: a test may pass getters.
      config: Object.defineProperties({ ...DEFAULTS }, Object.getOwnPropertyDescriptors(config)),
      intake: this.intake,
      log: this.#log(),
      metrics: { recipient: result => this.results.push(result), duration() {}, connections() {} },
    });
    this.#server = this.lmtp.createListener();
  }

  /** @param path  a UNIX socket; absent: a loopback port */
  static async start(config: Partial<LmtpServerConfig> = {}, path?: string): Promise<Harness> {
    const harness = new Harness(config);
    if (path === undefined) harness.#server.listen(0, "127.0.0.1");
    else harness.#server.listen(path);
    await once(harness.#server, "listening");
    return harness;
  }

  /** Run `body` against a fresh server; everything is closed afterwards. */
  static async with(
    config: Partial<LmtpServerConfig>,
    body: (harness: Harness) => Promise<void>,
    path?: string,
  ): Promise<void> {
    const harness = await Harness.start(config, path);
    try {
      await body(harness);
    } finally {
      await harness.stop();
    }
  }

  /** Connect; the greeting is not read yet. @param allowHalfOpen  do not close when the server does */
  async dial(allowHalfOpen = false): Promise<Peer> {
    const address = this.#server.address() as AddressInfo | string;
    const socket = connect(
      typeof address === "string"
        ? { path: address, allowHalfOpen }
        : { port: address.port, host: "127.0.0.1", allowHalfOpen },
    );
    socket.setNoDelay(true);
    this.#sockets.add(socket);
    await once(socket, "connect");
    return new Peer(socket);
  }

  /** Connect and say LHLO. */
  async greet(): Promise<Peer> {
    const peer = await this.dial();
    await peer.read(1);
    peer.send("LHLO client.example\r\n");
    for (let line = await peer.line(); line.startsWith("250-"); line = await peer.line());
    return peer;
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await this.lmtp.close();
    this.#server.close();
    await once(this.#server, "close");
  }

  #log(bound: LogFields = {}): Log {
    const push = (level: string) => (event: string, fields?: LogFields) =>
      void this.logged.push({ level, event, fields: { ...bound, ...fields } });
    const log: Log = {
      debug: push("debug"),
      info: push("info"),
      warn: push("warn"),
      error: push("error"),
      child: fields => this.#log({ ...bound, ...fields }),
    };
    return log;
  }
}

/** Longest a test waits for a line: a busy machine takes seconds over 40 MB. */
const LINE_WAIT_MS = 20_000;

/** The client's end: send bytes, read lines. */
export class Peer {
  readonly socket: Socket;
  #text = "";
  #ended = false;
  #wake: (() => void) | undefined;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (chunk: Buffer) => {
      this.#text += chunk.toString("latin1");
      this.#wake?.();
    });
    const end = () => {
      this.#ended = true;
      this.#wake?.();
    };
    socket.on("end", end);
    socket.on("close", end);
    socket.on("error", end);
  }

  send(text: string): void {
    this.socket.write(text, "latin1");
  }

  /** The next line without CRLF; "" when the server closed. */
  async line(): Promise<string> {
    for (;;) {
      const end = this.#text.indexOf("\r\n");
      if (end >= 0) {
        const line = this.#text.slice(0, end);
        this.#text = this.#text.slice(end + 2);
        return line;
      }
      if (this.#ended) return "";
      await this.#more();
    }
  }

  async read(lines: number): Promise<string[]> {
    const got: string[] = [];
    while (got.length < lines) got.push(await this.line());
    return got;
  }

  /** Send and read that many reply lines. */
  async ask(text: string, lines = 1): Promise<string[]> {
    this.send(text);
    return this.read(lines);
  }

  /** Resolves when the server closed, with what it said last. */
  async rest(): Promise<string> {
    while (!this.#ended) await this.#more();
    return this.#text;
  }

  async #more(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`no line in time, have "${this.#text}"`)),
        LINE_WAIT_MS,
      );
      this.#wake = () => {
        clearTimeout(timer);
        this.#wake = undefined;
        resolve();
      };
    });
  }
}

export const START = "MAIL FROM:<a@example.com>\r\nRCPT TO:<user@example.com>\r\nDATA\r\n";

/** Open a transaction up to the 354. */
export async function startData(peer: Peer): Promise<void> {
  const lines = await peer.ask(START, 3);
  assert.match(lines[2] ?? "", /^354 /u);
}

/** A promise and what resolves it. */
export function gate(): { readonly promise: Promise<void>; open(): void } {
  let open = (): void => {};
  const promise = new Promise<void>(resolve => {
    open = resolve;
  });
  return { promise, open: () => open() };
}
