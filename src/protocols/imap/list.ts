/**
 * LIST, LSUB, STATUS, SUBSCRIBE, UNSUBSCRIBE, NAMESPACE: everything about mailboxes by name. Subscriptions are stored even
 * though mail is read-only: imapc passes them on. Source: RFC 3501 §6.3.6–6.3.10, RFC 5258, RFC 5819, RFC 6154, RFC 8474, RFC 2342.
 */
import { setImmediate } from "node:timers/promises";
import type { MailboxInfo } from "../../core/ports/mailboxes.ts";
import { enableCondstore } from "./condstore.ts";
import type { LoggedIn } from "./context.ts";
import { mailboxObjectId, wireMailbox } from "./encode.ts";
import { type Entry, entriesOf, selectEntries } from "./list-entries.ts";
import { matchesPattern } from "./mailbox-pattern.ts";
import { ConnectionGone } from "./output.ts";
import type { ListRequest, StatusItem } from "./parse-list.ts";
import { type Completion, ok } from "./reply.ts";

/** Characters of patterns times characters of names that are compared before others have their turn. */
const COMPARED_PER_SLICE = 2_000_000;

export async function list(context: LoggedIn, request: ListRequest): Promise<Completion> {
  if (request.patterns.length === 0) return separator(context, "LIST");
  const { status } = request.returns;
  const listing = await context.reader.list(context.account.id, wishOf(status ?? []));
  const turns = new Turns(context);
  for (const { entry, forChildren } of selectEntries(
    entriesOf(listing, context.profile.kind),
    request.select,
  )) {
    if (!(await turns.matchesOne(request.patterns, entry.name))) continue;
    const attributes = listAttributes(entry, request).join(" ");
    const childInfo = forChildren ? ` ("CHILDINFO" (${criteria(request)}))` : "";
    context.output.text(`* LIST (${attributes}) "/" ${wire(context, entry.name)}${childInfo}\r\n`);
    if (status !== undefined && entry.info !== undefined) writeStatus(context, entry.info, status);
    const waiting = context.output.pressure();
    if (waiting !== undefined) await waiting;
  }
  return ok("LIST completed");
}

/** What the children were selected for (RFC 5258 §3.5). */
function criteria({ select: { subscribed, specialUse } }: ListRequest): string {
  return [...(subscribed ? ['"SUBSCRIBED"'] : []), ...(specialUse ? ['"SPECIAL-USE"'] : [])].join(" ");
}

const wire = (context: LoggedIn, name: string) => wireMailbox(name, context.enabled.rev2);

/** Compares names and patterns; who else waits on this event loop has its turn meanwhile. */
class Turns {
  readonly #context: LoggedIn;
  #compared = 0;

  constructor(context: LoggedIn) {
    this.#context = context;
  }

  /** @throws {ConnectionGone} */
  async matchesOne(patterns: readonly string[], name: string): Promise<boolean> {
    for (const pattern of patterns) {
      this.#compared += (pattern.length + 1) * (name.length + 1);
      if (this.#compared > COMPARED_PER_SLICE) {
        this.#compared = 0;
        await setImmediate();
        if (this.#context.gone.aborted) throw new ConnectionGone();
      }
      if (matchesPattern(pattern, name)) return true;
    }
    return false;
  }
}

function listAttributes(entry: Entry, request: ListRequest): readonly string[] {
  const attributes: string[] = [];
  if (entry.info === undefined) attributes.push("\\Noselect", "\\NonExistent");
  // RFC 3348 §3: told of every name, so that a client need not ask for the level below.
  attributes.push(entry.hasChildren ? "\\HasChildren" : "\\HasNoChildren");
  if (entry.subscribed && (request.select.subscribed || request.returns.subscribed))
    attributes.push("\\Subscribed");
  if (entry.use !== undefined) attributes.push(entry.use);
  return attributes;
}

export async function lsub(context: LoggedIn, request: ListRequest): Promise<Completion> {
  const [pattern] = request.patterns;
  if (pattern === undefined) return separator(context, "LSUB");
  // What is subscribed is told whether there is such a mailbox or not.
  const subscriptions = await context.reader.subscriptions(context.account.id);
  const turns = new Turns(context);
  for (const entry of entriesOf({ mailboxes: [], subscriptions }, context.profile.kind)) {
    if (!(await turns.matchesOne(request.patterns, entry.name))) continue;
    // RFC 3501 §6.3.9: with "%" a parent of something subscribed is shown, as \Noselect.
    const asParent = !entry.subscribed && pattern.endsWith("%") && entry.hasSubscribedChildren;
    if (!entry.subscribed && !asParent) continue;
    context.output.text(`* LSUB (${asParent ? "\\Noselect" : ""}) "/" ${wire(context, entry.name)}\r\n`);
    const waiting = context.output.pressure();
    if (waiting !== undefined) await waiting;
  }
  return ok("LSUB completed");
}

function separator(context: LoggedIn, name: "LIST" | "LSUB"): Completion {
  context.output.text(`* ${name} (\\Noselect) "/" ""\r\n`);
  return ok(`${name} completed`);
}

export async function status(
  context: LoggedIn,
  { mailbox, items }: { readonly mailbox: string; readonly items: readonly StatusItem[] },
): Promise<Completion> {
  writeStatus(context, await context.reader.status(context.account.id, mailbox, wishOf(items)), items);
  return ok("STATUS completed");
}

const wishOf = (items: readonly StatusItem[]) => ({ deleted: items.includes("DELETED") });

function writeStatus(context: LoggedIn, info: MailboxInfo, items: readonly StatusItem[]): void {
  const values: Record<StatusItem, number | string> = {
    MESSAGES: info.messages,
    RECENT: 0,
    UIDNEXT: info.uidNext,
    UIDVALIDITY: info.uidValidity,
    UNSEEN: info.unseen,
    HIGHESTMODSEQ: announcedModseq(context, info),
    SIZE: info.sizeBytes,
    DELETED: info.deleted ?? 0,
    MAILBOXID: `(${mailboxObjectId(info)})`,
  };
  const told = items.map(item => `${item} ${values[item]}`).join(" ");
  context.output.text(`* STATUS ${wire(context, info.name)} (${told})\r\n`);
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
