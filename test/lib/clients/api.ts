/** The service's REST interface over its UNIX socket, as far as tests fill and read mailboxes with it. */
import { once } from "node:events";
import { Agent, type IncomingMessage, request } from "node:http";
import { buffer } from "node:stream/consumers";

/** Uploads that run at a time: enough to fill the store's batches. */
const AT_A_TIME = 24;

export interface Added {
  readonly uid: number;
}

export interface NewMessage {
  readonly account: string;
  readonly mailbox: string;
  readonly bytes: Buffer;
  readonly flags: readonly string[];
  readonly date: Date;
}

export class Api {
  readonly #socketPath: string;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: AT_A_TIME });

  constructor(socketPath: string) {
    this.#socketPath = socketPath;
  }

  /** Store messages exactly as they are, as `msg add` does. @returns UIDs in the order of the messages */
  async addAll(messages: readonly NewMessage[]): Promise<readonly number[]> {
    const uids: number[] = new Array(messages.length).fill(0);
    let next = 0;
    const worker = async () => {
      for (let i = next++; i < messages.length; i = next++) uids[i] = await this.#add(messages[i]);
    };
    await Promise.all(Array.from({ length: AT_A_TIME }, worker));
    return uids;
  }

  /** The bytes of one message as the REST interface gives them, a way that shares no code with FETCH. */
  raw(account: string, mailbox: string, uid: number): Promise<Buffer> {
    return this.#call("GET", `${folder(account, mailbox)}/${uid}/raw`);
  }

  close(): void {
    this.#agent.destroy();
  }

  async #add(message: NewMessage | undefined): Promise<number> {
    if (message === undefined) return 0;
    const query = new URLSearchParams({
      flags: message.flags.join(","),
      date: message.date.toISOString(),
    });
    const path = `${folder(message.account, message.mailbox)}?${query}`;
    const added = JSON.parse((await this.#call("POST", path, message.bytes)).toString()) as Added;
    return added.uid;
  }

  async #call(method: string, path: string, body?: Buffer): Promise<Buffer> {
    const sent = request({
      socketPath: this.#socketPath,
      agent: this.#agent,
      method,
      path,
      headers: body === undefined ? {} : { "content-type": "message/rfc822", "content-length": body.length },
    });
    sent.end(body);
    const [response] = (await once(sent, "response")) as [IncomingMessage];
    const content = await buffer(response);
    if ((response.statusCode ?? 500) >= 300) {
      throw new Error(`${method} ${path}: ${response.statusCode} ${content.toString()}`);
    }
    return content;
  }
}

function folder(account: string, mailbox: string): string {
  return `/api/v1/accounts/${encodeURIComponent(account)}/mailboxes/${encodeURIComponent(mailbox)}/messages`;
}
