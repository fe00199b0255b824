/**
 * A user's mail client that logs in again and again, lists, selects and fetches, and remembers: what it has seen must be there the next
 * time, once and with the same octets, and a UID must mean the same message as long as UIDVALIDITY is the same.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { ImapFlow } from "imapflow";
import { deadlineAfter, sleep } from "../../src/platform/deadline.ts";

/** Mail that is on its way to the other side shows there at the latest then. */
const LATE_MS = 15_000;
const AGAIN_MS = 200;
/** Not the account's own mail: what users save in stage store, and the copy. */
const APART = /^(?:Local|MaiRust)(?:\/|$)/u;

export interface Auth {
  readonly user: string;
  readonly pass: string;
  readonly authzid?: string;
}

export interface SeenMessage {
  readonly uid: number;
  readonly id: string;
  readonly source: string;
  readonly flags: readonly string[];
}

export async function withImap<T>(
  port: number,
  auth: Auth,
  work: (client: ImapFlow) => Promise<T>,
): Promise<T> {
  const plain = { secure: false, doSTARTTLS: false, logger: false, disableAutoIdle: true } as const;
  const loginMethod = auth.authzid === undefined ? {} : { loginMethod: "AUTH=PLAIN" };
  const client = new ImapFlow({ host: "127.0.0.1", port, ...plain, auth: { ...auth, ...loginMethod } });
  client.on("error", () => undefined);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.logout().catch(() => client.close());
  }
}

/** All messages of a folder, in the order of their UIDs. */
export async function messagesOf(
  client: ImapFlow,
  path: string,
): Promise<{ readonly validity: string; readonly messages: readonly SeenMessage[] }> {
  const box = await client.mailboxOpen(path, { readOnly: true });
  const messages: SeenMessage[] = [];
  if (box.exists > 0)
    for await (const one of client.fetch("1:*", { uid: true, flags: true, source: true })) {
      // Flags that changed meanwhile, told of without being asked for (RFC 3501 §7.4.2): no message of this answer.
      if (one.uid === undefined) continue;
      const source = one.source?.toString("latin1") ?? "";
      const id = /^Message-ID: <(.+)@example\.org>\r$/mu.exec(source)?.[1] ?? "";
      messages.push({
        uid: one.uid,
        id,
        source,
        flags: [...(one.flags ?? [])].filter(flag => flag !== "\\Recent").sort(),
      });
    }
  return { validity: String(box.uidValidity), messages };
}

/** Without what each server puts on top, and the field that the milter gives to delivery: a copy keeps it, relayed mail has none. */
export function withoutTrace(source: string): string {
  return source
    .replace(/^X-MaiRust-Trace:[^\n]*\n(?:[ \t][^\n]*\n)*/mu, "")
    .replace(/^(?:(?:Return-Path|Delivered-To|Received):[^\n]*\n(?:[ \t][^\n]*\n)*)+/iu, "");
}

export class MailReader {
  readonly #port: number;
  readonly #auth: Auth;
  /** Digests by folder and id. */
  readonly #seen = new Map<string, Map<string, string>>();
  readonly #doubles = new Set<string>();
  /** Ids by folder, UIDVALIDITY and UID. */
  readonly #uids = new Map<string, string>();
  readonly #stop = new AbortController();
  #running: Promise<void> = Promise.resolve();
  #looks = 0;
  #broken = 0;
  #problem: unknown;

  constructor(port: number, auth: Auth) {
    this.#port = port;
    this.#auth = auth;
  }

  /** Look again and again, also while a step is made. */
  start(): void {
    this.#running = this.#run().catch(error => {
      this.#problem = error;
    });
  }

  /** @throws what was wrong with the mailbox */
  async stop(): Promise<{
    readonly looks: number;
    /** Looks that ended with the session. */
    readonly broken: number;
    /** Messages that were there more than once. */
    readonly doubles: readonly string[];
  }> {
    this.#stop.abort();
    await this.#running;
    if (this.#problem !== undefined) throw this.#problem;
    return { looks: this.#looks, broken: this.#broken, doubles: [...this.#doubles] };
  }

  /** The mailbox as it is now. @throws what was seen before and is not there, or not the same, although time was given */
  async look(): Promise<void> {
    if (this.#problem !== undefined) throw this.#problem;
    const end = deadlineAfter(LATE_MS);
    try {
      for (;;) {
        const missing = await this.#lookOnce().catch(error => {
          if (error instanceof assert.AssertionError) throw error;
          // A step ends sessions: the client connects again.
          this.#broken += 1;
          return [error instanceof Error ? error.message : String(error)];
        });
        if (missing.length === 0) return;
        if (end.remainingMs() === 0)
          assert.fail(`${this.#auth.user}: seen before, not there now: ${missing.join(", ")}`);
        await sleep(AGAIN_MS);
      }
    } finally {
      end.dispose();
    }
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      await this.look();
      this.#looks += 1;
      await sleep(AGAIN_MS, signal).catch(() => undefined);
    }
  }

  /** @returns what is missing */
  #lookOnce(): Promise<readonly string[]> {
    return withImap(this.#port, this.#auth, async client => {
      const boxes = (await client.list()).filter(
        ({ flags }) => !flags.has("\\Noselect") && !flags.has("\\NonExistent"),
      );
      const paths = boxes.map(({ path }) => path).filter(path => !APART.test(path));
      const missing = [...this.#seen.keys()]
        .filter(path => !paths.includes(path))
        .map(path => `folder ${path}`);
      for (const path of paths) missing.push(...(await this.#compare(client, path)));
      return missing;
    });
  }

  async #compare(client: ImapFlow, path: string): Promise<readonly string[]> {
    const { validity, messages } = await messagesOf(client, path);
    const before = this.#seen.get(path) ?? new Map<string, string>();
    if (messages.length > 0) this.#seen.set(path, before);
    const now = new Set<string>();
    for (const { uid, id, source } of messages) {
      const what = `${this.#auth.user} ${path} ${id}`;
      assert.notEqual(id, "", `${what}: UID ${uid} has no Message-ID: ${JSON.stringify(source)}`);
      const name = `${path}\0${validity}\0${uid}`;
      assert.equal(this.#uids.get(name) ?? id, id, `${what}: UID ${uid} of ${validity} was another message`);
      this.#uids.set(name, id);
      if (now.has(id)) this.#doubles.add(`${path}/${id}`);
      now.add(id);
      const digest = createHash("sha256").update(withoutTrace(source)).digest("hex");
      assert.equal(before.get(id) ?? digest, digest, `${what} has other octets`);
      before.set(id, digest);
    }
    return [...before.keys()].filter(id => !now.has(id)).map(id => `${path}/${id}`);
  }
}
