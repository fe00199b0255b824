/**
 * LIST, LSUB, STATUS, SUBSCRIBE, UNSUBSCRIBE, NAMESPACE: everything about mailboxes by name. Subscriptions are stored even
 * though mail is read-only: imapc passes them on. Source: RFC 3501 §6.3.6–6.3.10, RFC 5258, RFC 5819, RFC 6154, RFC 2342.
 */
import type { MailboxInfo, MailboxListing } from "../../core/ports/mailboxes.ts";
import { enableCondstore } from "./condstore.ts";
import type { LoggedIn } from "./context.ts";
import { wireMailbox } from "./encode.ts";
import { matchesPattern } from "./mailbox-pattern.ts";
import type { ListRequest, StatusItem } from "./parse-list.ts";
import { type Completion, ok } from "./reply.ts";

/** One name of the hierarchy; `info` is absent for a name that only has children, or is only subscribed. */
interface Entry {
  readonly name: string;
  readonly info: MailboxInfo | undefined;
  readonly subscribed: boolean;
  readonly hasChildren: boolean;
  readonly hasSubscribedChildren: boolean;
}

export async function list(context: LoggedIn, request: ListRequest): Promise<Completion> {
  if (request.patterns.length === 0) return separator(context, "LIST");
  const listing = await context.reader.list(context.account.id);
  for (const entry of entriesOf(listing)) {
    if (!request.patterns.some(pattern => matchesPattern(pattern, entry.name))) continue;
    const selection = select(entry, request);
    if (selection === "no") continue;
    const childInfo = selection === "for_children" ? ' ("CHILDINFO" ("SUBSCRIBED"))' : "";
    const attributes = listAttributes(entry, request).join(" ");
    context.output.text(`* LIST (${attributes}) "/" ${wireMailbox(entry.name)}${childInfo}\r\n`);
    if (request.returns.status !== undefined && entry.info !== undefined) {
      writeStatus(context, entry.info, request.returns.status);
    }
    const waiting = context.output.pressure();
    if (waiting !== undefined) await waiting;
  }
  return ok("LIST completed");
}

function select(entry: Entry, request: ListRequest): "yes" | "no" | "for_children" {
  const { subscribed, specialUse, recursive } = request.select;
  if (specialUse && shownUse(entry) === undefined) return "no";
  if (!subscribed) {
    // A name that is only subscribed is no mailbox; a parent without mailbox is shown so that the tree is whole.
    return entry.info !== undefined || entry.hasChildren ? "yes" : "no";
  }
  if (entry.subscribed) return "yes";
  return recursive && entry.hasSubscribedChildren ? "for_children" : "no";
}

/** Special uses whose mailbox a client writes to. */
const WRITTEN_BY_CLIENTS: readonly string[] = ["\\Sent", "\\Drafts", "\\Trash"];

/**
 * A mailbox that a client would save to is not announced as such while everything is read-only: Dovecot passes the attribute on,
 * whatever its own configuration says, and clients would choose it before the writable one in `Local/`.
 */
function shownUse(entry: Entry): string | undefined {
  const use = entry.info?.specialUse;
  return use === undefined || WRITTEN_BY_CLIENTS.includes(use) ? undefined : use;
}

function listAttributes(entry: Entry, request: ListRequest): readonly string[] {
  const attributes: string[] = [];
  if (entry.info === undefined) attributes.push("\\Noselect", "\\NonExistent");
  // RFC 3348 §3: told of every name, so that a client need not ask for the level below.
  attributes.push(entry.hasChildren ? "\\HasChildren" : "\\HasNoChildren");
  if (entry.subscribed && (request.select.subscribed || request.returns.subscribed))
    attributes.push("\\Subscribed");
  const use = shownUse(entry);
  if (use !== undefined) attributes.push(use);
  return attributes;
}

export async function lsub(context: LoggedIn, request: ListRequest): Promise<Completion> {
  const [pattern] = request.patterns;
  if (pattern === undefined) return separator(context, "LSUB");
  // What is subscribed is told whether there is such a mailbox or not.
  const subscriptions = await context.reader.subscriptions(context.account.id);
  for (const entry of entriesOf({ mailboxes: [], subscriptions })) {
    if (!matchesPattern(pattern, entry.name)) continue;
    // RFC 3501 §6.3.9: with "%" a parent of something subscribed is shown, as \Noselect.
    const asParent = !entry.subscribed && pattern.endsWith("%") && entry.hasSubscribedChildren;
    if (!entry.subscribed && !asParent) continue;
    context.output.text(`* LSUB (${asParent ? "\\Noselect" : ""}) "/" ${wireMailbox(entry.name)}\r\n`);
    const waiting = context.output.pressure();
    if (waiting !== undefined) await waiting;
  }
  return ok("LSUB completed");
}

function separator(context: LoggedIn, name: "LIST" | "LSUB"): Completion {
  context.output.text(`* ${name} (\\Noselect) "/" ""\r\n`);
  return ok(`${name} completed`);
}

/** All names, parents before children, INBOX first. */
function entriesOf({ mailboxes, subscriptions }: MailboxListing): readonly Entry[] {
  const infos = new Map(mailboxes.map(info => [info.name, info]));
  const subscribed = new Set(subscriptions);
  const withChildren = parentsOf(infos.keys());
  const withSubscribed = parentsOf(subscribed);
  const names = new Set([...infos.keys(), ...subscribed, ...withChildren, ...withSubscribed]);
  return [...names].sort(byName).map(name => ({
    name,
    info: infos.get(name),
    subscribed: subscribed.has(name),
    hasChildren: withChildren.has(name),
    hasSubscribedChildren: withSubscribed.has(name),
  }));
}

function parentsOf(names: Iterable<string>): ReadonlySet<string> {
  const parents = new Set<string>();
  for (const name of names) {
    for (let at = name.lastIndexOf("/"); at > 0; at = name.lastIndexOf("/", at - 1))
      parents.add(name.slice(0, at));
  }
  return parents;
}

function byName(a: string, b: string): number {
  if (a === "INBOX" || b === "INBOX") return a === b ? 0 : a === "INBOX" ? -1 : 1;
  return a < b ? -1 : a > b ? 1 : 0;
}

export async function status(
  context: LoggedIn,
  command: { readonly mailbox: string; readonly items: readonly StatusItem[] },
): Promise<Completion> {
  writeStatus(context, await context.reader.status(context.account.id, command.mailbox), command.items);
  return ok("STATUS completed");
}

function writeStatus(context: LoggedIn, info: MailboxInfo, items: readonly StatusItem[]): void {
  const values: Record<StatusItem, number> = {
    MESSAGES: info.messages,
    RECENT: 0,
    UIDNEXT: info.uidNext,
    UIDVALIDITY: info.uidValidity,
    UNSEEN: info.unseen,
    HIGHESTMODSEQ: announcedModseq(context, info),
    SIZE: info.sizeBytes,
  };
  const told = items.map(item => `${item} ${values[item]}`).join(" ");
  context.output.text(`* STATUS ${wireMailbox(info.name)} (${told})\r\n`);
  if (items.includes("HIGHESTMODSEQ")) enableCondstore(context);
}

/** Of the selected mailbox no MODSEQ is told that is above what the session was told of it: the client would pass over that. */
function announcedModseq({ selected }: LoggedIn, { id, uidValidity, highestModseq }: MailboxInfo): number {
  return selected?.view.mailboxId === id && selected.view.uidValidity === uidValidity
    ? Math.min(highestModseq, selected.view.highestModseq)
    : highestModseq;
}

export async function subscribe(context: LoggedIn, mailbox: string, on: boolean): Promise<Completion> {
  await context.reader.subscribe(context.account.id, mailbox, on);
  return ok(`${on ? "SUBSCRIBE" : "UNSUBSCRIBE"} completed`);
}

export async function namespace(context: LoggedIn): Promise<Completion> {
  context.output.text('* NAMESPACE (("" "/")) NIL NIL\r\n');
  return ok("NAMESPACE completed");
}
