/** Single deliveries by LMTP whose reply a test wants to see, noted in the ledger as all others are. */
import { randomBytes } from "node:crypto";
import { CONTENT_FIELD, type CrashLedger } from "./crash-ledger.ts";
import { MailDialog } from "./mail-dialog.ts";

const LINE_BYTES = 54;

export class DeliveryProbe {
  readonly #ledger: CrashLedger;
  readonly #port: number;
  readonly #account: string;
  #count = 0;

  constructor(ledger: CrashLedger, port: number, account: string) {
    this.#ledger = ledger;
    this.#port = port;
    this.#account = account;
  }

  /** @returns the reply, "" when the connection ended before it; and the queue id */
  async deliver(sizeBytes: number): Promise<{ readonly reply: string; readonly queueId: string }> {
    this.#count += 1;
    const id = `P${String(this.#count).padStart(5, "0")}`;
    const lines = Math.ceil(sizeBytes / (LINE_BYTES * 1.4));
    // Nothing that compression makes small.
    const body = Array.from(
      { length: lines },
      () => `${randomBytes(LINE_BYTES).toString("base64")}\r\n`,
    ).join("");
    const head = `From: sender@example.org\r\nSubject: probe ${id}\r\nMessage-ID: <${id}@example.org>\r\n${CONTENT_FIELD}: ${id}\r\n\r\n`;
    const content = { id, bytes: Buffer.from(head + body, "latin1") };
    this.#ledger.addContent(content);
    this.#ledger.tried(this.#account, id, id);
    const dialog = await MailDialog.open(this.#port, "lmtp");
    const message = { from: "sender@example.org", to: [this.#account], message: content.bytes, queueId: id };
    const [reply = ""] = await dialog.submit(message);
    dialog.close();
    if (reply.startsWith("250")) this.#ledger.accepted(this.#account, id, id);
    return { reply, queueId: id };
  }
}
