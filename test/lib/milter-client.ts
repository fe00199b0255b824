/**
 * Plays Postfix's side of a milter connection for tests: asks for the same, sends macros with each command, waits for an answer
 * where one is due and leaves out what the filter does not want. Source: Postfix src/milter/milter8.c.
 */
import { once } from "node:events";
import { connect as dial, type Socket } from "node:net";
import * as p from "./milter-packets.ts";
import { type Answer, AnswerReader } from "./milter-packets.ts";

const WAIT_MS = 20_000;
/** SMFIP_ bits: the command is not sent, it is not answered. */
const NOT_SENT: Readonly<Record<string, number>> = {
  C: 1,
  H: 2,
  M: 4,
  R: 8,
  B: 0x10,
  L: 0x20,
  N: 0x40,
  U: 0x100,
  T: 0x200,
};
const NO_REPLY: Readonly<Record<string, number>> = {
  L: 0x80,
  C: 0x1000,
  H: 0x2000,
  M: 0x4000,
  R: 0x8000,
  T: 0x1_0000,
  U: 0x2_0000,
  N: 0x4_0000,
  B: 0x8_0000,
};
const CHUNK_BYTES = 65_535;

export interface TestMail {
  readonly from?: string;
  readonly to: readonly string[];
  /** Name and value with its leading blank. */
  readonly headers?: ReadonlyArray<readonly [name: string, value: string]>;
  readonly body?: string;
  readonly queueId?: string;
  readonly auth?: string;
}

/** Where a listener is: what `platform/listeners.ts` says, or a path or port. */
export type Target = { readonly path: string } | { readonly port: number; readonly host: string };

export class MilterClient {
  readonly socket: Socket;
  #steps = 0;
  readonly #reader = new AnswerReader();
  readonly #answers: Answer[] = [];
  #ended = false;
  #wake: (() => void) | undefined;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (chunk: Buffer) => {
      this.#answers.push(...this.#reader.push(chunk));
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

  /** Connect; nothing is said yet. */
  static async dial(target: Target): Promise<MilterClient> {
    const socket = dial(target);
    await once(socket, "connect");
    socket.setNoDelay(true);
    return new MilterClient(socket);
  }

  /** Connect, negotiate, CONNECT and HELO. */
  static async open(target: Target, address = "192.0.2.1", daemon = "smtpd"): Promise<MilterClient> {
    const client = await MilterClient.dial(target);
    client.write(p.optneg());
    const { letter, data } = await client.answer();
    if (letter !== "O") throw new Error(`negotiation was answered by ${letter}`);
    client.#steps = data.readUInt32BE(8);
    await client.event(
      "C",
      p.macros("C", { j: "mx.test", "{daemon_name}": daemon }),
      p.connect("client.test", address),
    );
    await client.event("H", p.helo("client.test"));
    return client;
  }

  get steps(): number {
    return this.#steps;
  }

  write(...packets: readonly Buffer[]): void {
    this.socket.write(Buffer.concat(packets));
  }

  /** Send a command with its macros, in one write, and wait for the answer where there is one. @returns it, or undefined */
  async event(letter: string, ...packets: readonly Buffer[]): Promise<Answer | undefined> {
    const left = (this.#steps & (NOT_SENT[letter] ?? 0)) !== 0;
    // Macros are sent all the same.
    this.write(...(left ? packets.slice(0, -1) : packets));
    if (left || (this.#steps & (NO_REPLY[letter] ?? 0)) !== 0) return undefined;
    const answer = await this.answer();
    if (letter !== "E" && answer.letter !== "c" && answer.letter !== "s") {
      throw new Error(`${letter} was answered by ${p.show(answer)}`);
    }
    return answer;
  }

  /** One message. @returns all answers to its end but signs of life */
  async send(mail: TestMail): Promise<readonly string[]> {
    const { from = "sender@test", to, headers = [], body = "", queueId = "QID", auth } = mail;
    await this.event(
      "M",
      p.macros("M", auth === undefined ? {} : { "{auth_authen}": auth }),
      p.mail(`<${from}>`),
    );
    for (const one of to) await this.event("R", p.macros("R", { "{rcpt_addr}": one }), p.rcpt(`<${one}>`));
    await this.event("T", p.macros("T", { i: queueId }), p.data());
    for (const [name, value] of headers) await this.event("L", p.header(name, value));
    await this.event("N", p.eoh());
    for (let at = 0; at < body.length; at += CHUNK_BYTES) {
      const answer = await this.event("B", p.body(body.slice(at, at + CHUNK_BYTES)));
      if (answer?.letter === "s") break;
    }
    this.write(p.macros("E", { i: queueId }), p.eom());
    return this.end();
  }

  /** The answers up to the one that ends a message. */
  async end(): Promise<readonly string[]> {
    const answers: string[] = [];
    for (;;) {
      const answer = await this.answer();
      if (answer.letter === "p") continue;
      answers.push(p.show(answer));
      if ("acdrty".includes(answer.letter)) return answers;
    }
  }

  async answer(): Promise<Answer> {
    for (;;) {
      const answer = this.#answers.shift();
      if (answer !== undefined) return answer;
      if (this.#ended) throw new Error("the filter has closed");
      await this.#more();
    }
  }

  /** Resolves when the filter has closed. */
  async closed(): Promise<void> {
    while (!this.#ended) await this.#more();
  }

  quit(): void {
    this.socket.end(p.quit());
  }

  async #more(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error("no answer in time")), WAIT_MS);
      this.#wake = () => {
        clearTimeout(timer);
        this.#wake = undefined;
        resolve();
      };
    });
  }
}
