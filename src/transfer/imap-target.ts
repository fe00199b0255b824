/** The other server as `export imap` needs it: folders made and found by their use, what is in one, flags set, messages removed. */
import type { ImapFlow } from "imapflow";
import { sleep } from "../platform/deadline.ts";
import type { FolderMapping } from "../wire/transfer-calls.ts";
import { comparableOf, HEAD_BYTES } from "./comparable.ts";
import { planFolders } from "./folder-names.ts";
import { type ReadFlags, readFlags } from "./imap-flags.ts";
import type { ImapMailbox } from "./imap-login.ts";
import type { ImapSession } from "./imap-session.ts";

/** UIDs that one command names. */
const SET_UIDS = 200;
/** Whole messages that are read at once up to this size; larger ones come in pieces. */
const SMALL_BYTES = 256 * 1024;
const SMALL_MESSAGES = 20;
const PIECE_BYTES = 1024 * 1024;
/** A folder in which a killed export was busy is quiet when nothing came for this long; it is waited for so long in all. */
const QUIET_MS = 2000;
const QUIET_POLL_MS = 250;
const MAX_SETTLE_MS = 60_000;

export interface ThereMessage extends ReadFlags {
  readonly uid: number;
}

/**
 * Which folder there each mailbox of ours goes to: where `--map` says; else the one with its use (RFC 6154); else the one of its name;
 * else one whose usual name import would take for it; else a new one of its name.
 * @returns mailbox → path there, and whether it is there; a path that two of ours would have goes to the first
 */
export function planTargets(
  mailboxes: readonly string[],
  there: readonly ImapMailbox[],
  maps: readonly FolderMapping[],
  pathOf: (name: string) => string,
): ReadonlyMap<string, { readonly path: string; readonly isThere: boolean; readonly clash: boolean }> {
  const uses = new Map(there.flatMap(box => (box.use === undefined ? [] : [[box.name, box.use] as const])));
  const plans = planFolders(
    there.map(box => box.name),
    [],
    uses,
  );
  const byName = new Map(there.map(box => [box.name, box]));
  const taken = new Set<string>();
  const targets = new Map<string, { path: string; isThere: boolean; clash: boolean }>();
  for (const mailbox of mailboxes) {
    const mapped = mappedName(mailbox, maps);
    const usual = there.filter((_, i) => plans[i]?.target === mailbox);
    const found =
      mapped === undefined
        ? (usual.find(box => box.use === mailbox) ?? byName.get(mailbox) ?? usual[0])
        : byName.get(mapped);
    const path = found?.path ?? pathOf(mapped ?? mailbox);
    targets.set(mailbox, { path, isThere: found !== undefined, clash: taken.has(path) });
    taken.add(path);
  }
  return targets;
}

function mappedName(mailbox: string, maps: readonly FolderMapping[]): string | undefined {
  const fitting = maps
    .filter(({ from }) => mailbox === from || mailbox.startsWith(`${from}/`))
    .sort((one, other) => other.from.length - one.from.length)[0];
  return fitting === undefined ? undefined : `${fitting.to}${mailbox.slice(fitting.from.length)}`;
}

export class ImapTarget {
  readonly session: ImapSession;

  constructor(session: ImapSession) {
    this.session = session;
  }

  /** As the server writes names: its prefix, its separator. A separator within a level becomes `_`. */
  pathsOf(): Promise<(name: string) => string> {
    return this.session.run("ask for the namespace", async client => {
      const { prefix: before, delimiter: between } = client.namespace || {};
      const prefix = before ?? "";
      const delimiter = between || "/";
      return name => {
        if (name === "INBOX") return name;
        const levels = name
          .split("/")
          .map(level => (delimiter === "/" ? level : level.replaceAll(delimiter, "_")));
        return `${prefix}${levels.join(delimiter)}`;
      };
    });
  }

  /** @throws what the server answered */
  async make(path: string, subscribe: boolean): Promise<void> {
    await this.session.run(`make "${path}"`, async client => {
      // Made already is fine; the library subscribes to what it makes.
      await client.mailboxCreate(path);
      if (!subscribe) await client.mailboxUnsubscribe(path);
    });
  }

  subscribe(path: string): Promise<boolean> {
    return this.session.run(`subscribe to "${path}"`, client => client.mailboxSubscribe(path));
  }

  /** Of the opened folder. */
  async messages(): Promise<Map<number, ThereMessage>> {
    return this.session.run("list messages", async client => {
      const found = new Map<number, ThereMessage>();
      if (client.mailbox === false || client.mailbox.exists === 0) return found;
      for await (const one of client.fetch("1:*", { uid: true, flags: true }, { uid: true }))
        found.set(one.uid, { uid: one.uid, ...readFlags(one.flags) });
      return found;
    });
  }

  /** Wait until nothing comes into a folder: what a killed export sent may still be on its way. */
  async settle(path: string): Promise<void> {
    const end = performance.now() + MAX_SETTLE_MS;
    let last = "";
    let quietSince = performance.now();
    while (performance.now() < end && performance.now() - quietSince < QUIET_MS) {
      const status = await this.session.run(`look at "${path}"`, async client => {
        // Of an opened folder the server tells only what it has told before.
        await client.noop();
        return client.status(path, { messages: true, uidNext: true });
      });
      const now = status === false ? "" : `${status.messages} ${status.uidNext}`;
      if (now !== last) quietSince = performance.now();
      last = now;
      await sleep(QUIET_POLL_MS);
    }
  }

  /** Keys of messages of the opened folder (`ComparableDigest`). */
  async heads(uids: readonly number[]): Promise<ReadonlyMap<number, string>> {
    const keys = new Map<number, string>();
    for (let at = 0; at < uids.length; at += SET_UIDS) {
      const set = uids.slice(at, at + SET_UIDS).join(",");
      await this.session.run("read the beginnings of messages", async client => {
        const source = { start: 0, maxLength: HEAD_BYTES };
        for await (const one of client.fetch(set, { uid: true, source }, { uid: true }))
          if (one.source !== undefined) keys.set(one.uid, (await comparableOf([one.source])).key);
      });
    }
    return keys;
  }

  /** Digests of whole messages of the opened folder; one that the server does not give has none. */
  async digests(uids: readonly number[]): Promise<ReadonlyMap<number, string>> {
    const digests = new Map<number, string>();
    for (let at = 0; at < uids.length; at += SMALL_MESSAGES) {
      const set = uids.slice(at, at + SMALL_MESSAGES);
      const sizes = await this.session.run("read sizes", client => sizesOf(client, set));
      const small = set.filter(uid => (sizes.get(uid) ?? 0) <= SMALL_BYTES);
      await this.session.run("read messages", async client => {
        if (small.length === 0) return;
        for await (const one of client.fetch(small.join(","), { uid: true, source: true }, { uid: true }))
          if (one.source !== undefined) digests.set(one.uid, (await comparableOf([one.source])).digest);
      });
      for (const uid of set.filter(one => !small.includes(one)))
        digests.set(uid, (await comparableOf(this.#pieces(uid))).digest);
    }
    return digests;
  }

  async *#pieces(uid: number): AsyncIterable<Buffer> {
    for (let start = 0; ; ) {
      const source = { start, maxLength: PIECE_BYTES };
      const found = await this.session.run("read a piece of a message", client =>
        client.fetchOne(String(uid), { uid: true, source }, { uid: true }),
      );
      const piece = found === false || found === undefined ? undefined : found.source;
      if (piece === undefined || piece.length === 0) return;
      yield piece;
      start += piece.length;
      if (piece.length < PIECE_BYTES) return;
    }
  }

  /** @returns false: the server refused */
  async store(uids: readonly number[], how: "add" | "remove", flags: readonly string[]): Promise<boolean> {
    let done = true;
    for (let at = 0; at < uids.length; at += SET_UIDS) {
      const set = uids.slice(at, at + SET_UIDS).join(",");
      const options = { uid: true, silent: true } as const;
      done =
        (await this.session.run("set flags", client =>
          how === "add"
            ? client.messageFlagsAdd(set, [...flags], options)
            : client.messageFlagsRemove(set, [...flags], options),
        )) && done;
    }
    return done;
  }

  /** These and no others: a server that cannot name them (UIDPLUS) is not asked. @returns false: not removed */
  async remove(uids: readonly number[]): Promise<boolean> {
    let done = true;
    for (let at = 0; at < uids.length; at += SET_UIDS) {
      const set = uids.slice(at, at + SET_UIDS).join(",");
      done =
        (await this.session.run("remove messages", async client =>
          client.capabilities.has("UIDPLUS") ? client.messageDelete(set, { uid: true }) : false,
        )) && done;
    }
    return done;
  }
}

async function sizesOf(client: ImapFlow, uids: readonly number[]): Promise<ReadonlyMap<number, number>> {
  const sizes = new Map<number, number>();
  for await (const one of client.fetch(uids.join(","), { uid: true, size: true }, { uid: true }))
    sizes.set(one.uid, one.size ?? 0);
  return sizes;
}
