/**
 * A session at another IMAP server that comes back when its connection breaks: a bounded number of times in a row, in the same
 * mailbox. A server's NO is no broken connection and is passed on.
 */
import type { ImapFlow, MailboxObject } from "imapflow";
import { MairustError } from "../core/errors.ts";
import { sleep } from "../platform/deadline.ts";
import type { ImapLogin } from "../wire/transfer-calls.ts";
import {
  closeImap,
  connectImap,
  explainImap,
  type ImapMailbox,
  listMailboxes,
  serverName,
} from "./imap-login.ts";

/** Connections that are tried one after the other, and the wait before the second; it doubles. */
const MAX_TRIES = 6;
const FIRST_WAIT_MS = 250;

/** The connection broke and may be had again; what was under way may have happened. */
export class ConnectionLost extends Error {}

interface Opened {
  readonly path: string;
  readonly readOnly: boolean;
  readonly uidValidity: number;
}

export interface OpenedFolder {
  readonly uidValidity: number;
  readonly uidNext: number;
  readonly exists: number;
  /** undefined: the server does not count changes. */
  readonly modseq: bigint | undefined;
  /** undefined: it does not say which flags it keeps. */
  readonly permanentFlags: ReadonlySet<string> | undefined;
}

export class ImapSession {
  readonly login: ImapLogin;
  #client: ImapFlow;
  #opened: Opened | undefined;
  /** The work before: one at a time, so that what breaks the connection breaks nothing else. */
  #last: Promise<unknown> = Promise.resolve();

  private constructor(login: ImapLogin, client: ImapFlow) {
    this.login = login;
    this.#client = client;
  }

  /** @throws {MairustError} `auth_failed`, `store_unavailable` */
  static async connect(login: ImapLogin): Promise<ImapSession> {
    return new ImapSession(login, await connectImap(login));
  }

  close(): Promise<void> {
    return closeImap(this.#client);
  }

  /** @param counted  with the number of messages */
  list(counted = false): Promise<readonly ImapMailbox[]> {
    return this.run("list mailboxes", client => listMailboxes(client, this.login, counted));
  }

  /** SELECT, or EXAMINE. @throws what the server answered, `store_unavailable` */
  async open(path: string, readOnly: boolean): Promise<OpenedFolder> {
    this.#opened = undefined;
    const box = await this.run(`open "${path}"`, client => client.mailboxOpen(path, { readOnly }));
    const uidValidity = Number(box.uidValidity);
    this.#opened = { path, readOnly, uidValidity };
    return folderOf(box, uidValidity);
  }

  /**
   * One piece of work, after those before, again when the connection broke: it must bear that.
   * @param tries  fewer than usual: the work itself may be what breaks it
   * @throws what the server answered; {MairustError} `store_unavailable`; {ConnectionLost} after fewer tries than usual
   */
  run<T>(what: string, work: (client: ImapFlow) => Promise<T>, tries = MAX_TRIES): Promise<T> {
    const done = this.#last.then(() => this.#run(what, work, tries));
    this.#last = done.catch(() => undefined);
    return done;
  }

  async #run<T>(what: string, work: (client: ImapFlow) => Promise<T>, tries: number): Promise<T> {
    for (let tried = 1; ; tried += 1) {
      try {
        if (!this.#client.usable) await this.#reconnect();
        const result = await work(this.#client);
        this.#checkWhole();
        return result;
      } catch (error) {
        const isHopeless = error instanceof MairustError && error.code !== "store_unavailable";
        if (isHopeless || (this.#client.usable && !(error instanceof MairustError))) throw error;
        if (tried >= tries && tries < MAX_TRIES) throw new ConnectionLost(`the connection broke: ${what}`);
        if (tried >= tries) throw explainImap(error, this.login, what);
        await sleep(FIRST_WAIT_MS * 2 ** (tried - 1));
      }
    }
  }

  /** Without a connection, or a mailbox, the library answers some calls with nothing: that must not be taken for "there is nothing". */
  #checkWhole(): void {
    const isOpen = this.#opened === undefined || this.#client.mailbox !== false;
    if (this.#client.usable && isOpen) return;
    this.#client.close();
    throw new ConnectionLost("the connection broke");
  }

  async #reconnect(): Promise<void> {
    this.#client.close();
    this.#client = await connectImap(this.login);
    if (this.#opened === undefined) return;
    const { path, readOnly, uidValidity } = this.#opened;
    const box = await this.#client.mailboxOpen(path, { readOnly });
    if (Number(box.uidValidity) === uidValidity) return;
    const text = `"${path}" at ${serverName(this.login)} became another mailbox meanwhile: run again`;
    throw new MairustError("invalid_state", `Cannot go on: ${text}`, { publicText: text });
  }
}

const folderOf = (box: MailboxObject, uidValidity: number): OpenedFolder => ({
  uidValidity,
  uidNext: box.uidNext,
  exists: box.exists,
  modseq: box.noModseq === true ? undefined : box.highestModseq,
  permanentFlags: box.permanentFlags,
});
