/** A plain SMTP or LMTP client for load that is cut off often: pipelined, with a time limit, and it tells which replies came before the end. */
import { connect, type Socket } from "node:net";

/** A reply that takes longer is as good as none. */
const REPLY_MS = 60_000;

export interface Submission {
  readonly from: string;
  readonly to: readonly string[];
  readonly message: Buffer;
  /** LMTP: sent as XFORWARD IDENT. */
  readonly queueId?: string;
}

export class MailDialog {
  readonly #socket: Socket;
  readonly #lmtp: boolean;
  #text = "";
  #wake: () => void = () => undefined;
  #broken = false;

  private constructor(socket: Socket, lmtp: boolean) {
    this.#socket = socket;
    this.#lmtp = lmtp;
    const end = () => {
      this.#broken = true;
      this.#wake();
    };
    socket.setNoDelay(true);
    socket.setTimeout(REPLY_MS, () => socket.destroy());
    socket.on("data", chunk => {
      this.#text += chunk.toString("latin1");
      this.#wake();
    });
    socket.on("end", end);
    socket.on("close", end);
    socket.on("error", end);
  }

  /** @throws when nobody listens or the greeting is not 220 */
  static async open(port: number, protocol: "smtp" | "lmtp"): Promise<MailDialog> {
    const dialog = new MailDialog(connect(port, "127.0.0.1"), protocol === "lmtp");
    dialog.#expect(await dialog.#reply(), "220");
    dialog.#socket.write(`${protocol === "lmtp" ? "LHLO" : "EHLO"} load.example\r\n`);
    dialog.#expect(await dialog.#reply(), "250");
    return dialog;
  }

  /** False after the connection ended. */
  get usable(): boolean {
    return !this.#broken;
  }

  /**
   * Send one message. Never rejects.
   * @returns for each recipient (LMTP; SMTP: one for all) its last reply, undefined when the connection ended before it came
   */
  async submit({ from, to, message, queueId }: Submission): Promise<readonly (string | undefined)[]> {
    const replies: (string | undefined)[] = this.#lmtp ? to.map(() => undefined) : [undefined];
    try {
      const xforward = queueId === undefined ? "" : `XFORWARD IDENT=${queueId}\r\n`;
      const recipients = to.map(one => `RCPT TO:<${one}>\r\n`).join("");
      this.#socket.write(`${xforward}MAIL FROM:<${from}>\r\n${recipients}DATA\r\n`);
      // Under another queue id, or in the transaction before, it would be another delivery.
      if (xforward !== "") this.#expect(await this.#reply(), "250");
      this.#expect(await this.#reply(), "250");
      const accepted: number[] = [];
      for (const i of to.keys()) {
        const reply = await this.#reply();
        if (reply.startsWith("2")) accepted.push(i);
        else replies[this.#lmtp ? i : 0] = reply;
      }
      const data = await this.#reply();
      if (!data.startsWith("354")) {
        this.#socket.write("RSET\r\n");
        this.#expect(await this.#reply(), "250");
        return replies.map(reply => reply ?? data);
      }
      this.#socket.write(stuffed(message));
      if (!this.#lmtp) replies[0] = await this.#reply();
      else for (const i of accepted) replies[i] = await this.#reply();
    } catch {
      // The connection ended, or another reply came than the protocol has: what came before counts.
      this.close();
    }
    return replies;
  }

  close(): void {
    this.#broken = true;
    this.#socket.destroy();
  }

  #expect(reply: string, code: string): void {
    if (reply.startsWith(code)) return;
    this.close();
    throw new Error(`expected ${code}: ${reply}`);
  }

  async #reply(): Promise<string> {
    for (;;) {
      const found = /^(?:\d{3}-[^\r\n]*\r\n)*\d{3} [^\r\n]*\r\n/u.exec(this.#text);
      if (found !== null) {
        this.#text = this.#text.slice(found[0].length);
        return found[0].trimEnd();
      }
      if (this.#broken) throw new Error("the connection ended");
      await new Promise<void>(resolve => {
        this.#wake = resolve;
      });
    }
  }
}

/** RFC 5321 §4.5.2, with the end. The message ends with a line break. */
function stuffed(message: Buffer): Buffer {
  return Buffer.from(`${message.toString("latin1").replace(/(^|\r\n)\./gu, "$1..")}.\r\n`, "latin1");
}
