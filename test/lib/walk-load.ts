/** Mail by SMTP without a pause, as senders bring it: what is refused for now comes again, what was taken is written down. */
import { deadlineAfter, sleep } from "../../src/platform/deadline.ts";
import { MailDialog } from "./mail-dialog.ts";

const EVERY_MS = 150;
const RETRY_MS = 100;
/** For the server to take one message. */
const SEND_MS = 60_000;

export class SmtpLoad {
  readonly #port: number;
  readonly #accounts: readonly string[];
  /** Recipients of what the server took, by the id of the message. */
  readonly #taken = new Map<string, readonly string[]>();
  readonly #stop = new AbortController();
  #count = 0;
  #deferred = 0;
  #running: Promise<void> = Promise.resolve();

  constructor(port: number, accounts: readonly string[]) {
    this.#port = port;
    this.#accounts = accounts;
  }

  start(): void {
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  /** Replies that told a sender to come again. */
  get deferred(): number {
    return this.#deferred;
  }

  get count(): number {
    return this.#taken.size;
  }

  /** Ids of what was taken for an account. */
  takenFor(account: string): readonly string[] {
    return [...this.#taken].filter(([, to]) => to.includes(account)).map(([id]) => id);
  }

  /**
   * Bring one message until it is taken.
   * @returns its id: another one with each try, since a try whose reply was lost may have been taken
   * @throws when it is refused for good, or not taken in time
   */
  async send(name: string, to: readonly string[]): Promise<string> {
    const end = deadlineAfter(SEND_MS);
    try {
      for (let tries = 1; ; tries += 1) {
        const id = tries === 1 ? name : `${name}.${tries}`;
        const reply = await this.#try(id, to);
        if (reply?.startsWith("250")) {
          this.#taken.set(id, to);
          return id;
        }
        if (reply?.startsWith("5")) throw new Error(`refused: ${reply}`);
        this.#deferred += 1;
        await sleep(RETRY_MS, end.signal);
      }
    } finally {
      end.dispose();
    }
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      this.#count += 1;
      // One account, two, all of them.
      const many = 1 + (this.#count % this.#accounts.length);
      const to = Array.from(
        { length: many },
        (_, i) => this.#accounts[(this.#count + i) % this.#accounts.length] ?? "",
      );
      await this.send(`load-${this.#count}`, to);
      await sleep(EVERY_MS, signal).catch(() => undefined);
    }
  }

  async #try(id: string, to: readonly string[]): Promise<string | undefined> {
    const dialog = await MailDialog.open(this.#port, "smtp").catch(() => undefined);
    if (dialog === undefined) return undefined;
    const [reply] = await dialog.submit({ from: "sender@example.org", to, message: message(id) });
    dialog.close();
    return reply;
  }
}

function message(id: string): Buffer {
  const fields = ["From: sender@example.org", "To: all@example.org", "Date: Mon, 1 Jan 2024 00:00:00 +0000"];
  return Buffer.from(
    `${fields.join("\r\n")}\r\nMessage-ID: <${id}@example.org>\r\nSubject: ${id}\r\n\r\n.${id}\r\n${"text of a message\r\n".repeat(40)}`,
  );
}
