/**
 * The tree of mailbox names that LIST and LSUB show, and which of it an extended LIST selects. Pure. Source: RFC 3501 §6.3.8, §6.3.9;
 * RFC 5258 §3; RFC 6154.
 */
import type { MailboxInfo, MailboxListing } from "../../core/ports/mailboxes.ts";
import type { ListRequest } from "./parse-list.ts";
import type { ListenerProfile } from "./profile.ts";

/** One name of the hierarchy; `info` is absent for a name that only has children, or is only subscribed. */
export interface Entry {
  readonly name: string;
  readonly info: MailboxInfo | undefined;
  /** RFC 6154 attribute, where it is told. */
  readonly use: string | undefined;
  readonly subscribed: boolean;
  readonly hasChildren: boolean;
  readonly hasSubscribedChildren: boolean;
}

/** All names, parents before children, INBOX first. @param kind  of the listener: who is told */
export function entriesOf(
  { mailboxes, subscriptions }: MailboxListing,
  kind: ListenerProfile["kind"],
): readonly Entry[] {
  const infos = new Map(mailboxes.map(info => [info.name, info]));
  const subscribed = new Set(subscriptions);
  const withChildren = parentsOf(infos.keys());
  const withSubscribed = parentsOf(subscribed);
  const names = new Set([...infos.keys(), ...subscribed, ...withChildren, ...withSubscribed]);
  return [...names].sort(byName).map(name => ({
    name,
    info: infos.get(name),
    use: toldUse(infos.get(name)?.specialUse, kind),
    subscribed: subscribed.has(name),
    hasChildren: withChildren.has(name),
    hasSubscribedChildren: withSubscribed.has(name),
  }));
}

function parentsOf(names: Iterable<string>): ReadonlySet<string> {
  const parents = new Set<string>();
  for (const name of names) {
    for (let at = name.lastIndexOf("/"); at > 0; at = name.lastIndexOf("/", at - 1)) {
      const parent = name.slice(0, at);
      // Those above it are known as well.
      if (parents.has(parent)) break;
      parents.add(parent);
    }
  }
  return parents;
}

function byName(a: string, b: string): number {
  if (a === "INBOX" || b === "INBOX") return a === b ? 0 : a === "INBOX" ? -1 : 1;
  return a < b ? -1 : a > b ? 1 : 0;
}

/** A name that an extended LIST shows, whatever its patterns. */
export interface ShownEntry {
  readonly entry: Entry;
  /** Below it are names that were selected: told with RECURSIVEMATCH alone (RFC 5258 §3.5). */
  readonly forChildren: boolean;
}

export function selectEntries(
  entries: readonly Entry[],
  options: ListRequest["select"],
): readonly ShownEntry[] {
  const meeting = new Set(entries.filter(entry => meets(entry, options)));
  const parents = options.recursive ? parentsOf(Array.from(meeting, ({ name }) => name)) : new Set<string>();
  return entries.flatMap(entry => {
    const forChildren = parents.has(entry.name);
    return forChildren || meeting.has(entry) ? [{ entry, forChildren }] : [];
  });
}

function meets(entry: Entry, { subscribed, specialUse }: ListRequest["select"]): boolean {
  if (specialUse && entry.use === undefined) return false;
  if (subscribed) return entry.subscribed;
  // A name that is only subscribed is no mailbox; a parent without mailbox is shown so that the tree is whole.
  return entry.info !== undefined || entry.hasChildren;
}

/** Special uses whose mailbox a client writes to. */
const WRITTEN_BY_CLIENTS: readonly string[] = ["\\Sent", "\\Drafts", "\\Trash"];

/**
 * A mailbox that a client would save to is not announced as such to Dovecot: it passes the attribute on, whatever its own configuration
 * says, and clients would choose it before the writable one in `Local/`. A client without Dovecot has no other.
 */
function toldUse(use: string | undefined, kind: ListenerProfile["kind"]): string | undefined {
  return kind === "dovecot" && use !== undefined && WRITTEN_BY_CLIENTS.includes(use) ? undefined : use;
}
