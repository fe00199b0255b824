/**
 * Which handler answers which command, and in which state (RFC 3501 §6: any state, authenticated, selected). LOGOUT, LOGIN,
 * AUTHENTICATE, STARTTLS and IDLE steer the session itself and are not here.
 */
import { capabilities } from "./capability.ts";
import type { ImapCommand } from "./command.ts";
import { type InMailbox, isInMailbox, isLoggedIn, type LoggedIn, type SessionContext } from "./context.ts";
import { enable } from "./enable.ts";
import { fetch } from "./fetch.ts";
import { list, lsub, namespace, status, subscribe } from "./list.ts";
import { announce, takesNewsFirst } from "./news.ts";
import { NEED_MAILBOX, refuseWrite } from "./read-only.ts";
import { bad, type Completion, ok, oneLine } from "./reply.ts";
import { search } from "./search.ts";
import { select } from "./select.ts";
import { sort } from "./sort.ts";
import { store } from "./store.ts";
import { thread } from "./thread.ts";

type Of<K extends ImapCommand["kind"]> = Extract<ImapCommand, { kind: K }>;
type Dispatched = Exclude<ImapCommand, Of<"LOGOUT" | "LOGIN" | "AUTHENTICATE" | "IDLE" | "STARTTLS">>;

type Handler<Context, Command> = (context: Context, command: Command) => Promise<Completion> | Completion;

/** Answers a command, whatever the state: with BAD where the command has no place. */
type AnyHandler<Command> = Handler<SessionContext, Command>;

export const LOG_IN_FIRST = bad("Log in first");
const SELECT_FIRST = bad("Select a mailbox first");

function loggedIn<Command>(handler: Handler<LoggedIn, Command>): AnyHandler<Command> {
  return (context, command) => (isLoggedIn(context) ? handler(context, command) : LOG_IN_FIRST);
}

function inMailbox<Command>(handler: Handler<InMailbox, Command>): AnyHandler<Command> {
  return loggedIn((context, command) => (isInMailbox(context) ? handler(context, command) : SELECT_FIRST));
}

/** As {@link inMailbox}, of a command that names messages. */
function ofMessages<Command extends ImapCommand>(handler: Handler<InMailbox, Command>): AnyHandler<Command> {
  return inMailbox(async (context, command) => {
    // A UID command may announce expunges first (RFC 3501 §7.4.1): what vanished is then not asked for.
    if (takesNewsFirst(command)) await announce(context);
    return handler(context, command);
  });
}

const HANDLERS: { readonly [K in Dispatched["kind"]]: AnyHandler<Of<K>> } = {
  CAPABILITY: capability,
  CHECK: inMailbox(check),
  CLOSE: inMailbox(leave),
  ENABLE: loggedIn(enable),
  EXAMINE: loggedIn(select),
  FETCH: ofMessages(fetch),
  ID: identify,
  LIST: loggedIn((context, { request }) => list(context, request)),
  LSUB: loggedIn((context, { request }) => lsub(context, request)),
  NAMESPACE: loggedIn(namespace),
  NOOP: noop,
  SEARCH: ofMessages((context, command) => search(context, command, Date.now())),
  SELECT: loggedIn(select),
  SORT: ofMessages((context, command) => sort(context, command, Date.now())),
  STATUS: loggedIn(status),
  STORE: ofMessages(store),
  SUBSCRIBE: loggedIn((context, { mailbox }) => subscribe(context, mailbox, true)),
  THREAD: ofMessages((context, command) => thread(context, command, Date.now())),
  UNSELECT: inMailbox(leave),
  UNSUBSCRIBE: loggedIn((context, { mailbox }) => subscribe(context, mailbox, false)),
  write: loggedIn(write),
};

export async function dispatch(context: SessionContext, command: Dispatched): Promise<Completion> {
  // The table gives each kind its own handler; the compiler does not follow that through a lookup.
  return HANDLERS[command.kind](context, command as never);
}

function capability(context: SessionContext): Completion {
  context.output.text(`* CAPABILITY ${capabilities(context)}\r\n`);
  return ok("CAPABILITY completed");
}

async function noop(context: SessionContext): Promise<Completion> {
  await context.selected?.mailbox.refresh();
  return ok("NOOP completed");
}

function identify(context: SessionContext, { fields }: Of<"ID">): Completion {
  context.log.debug("imap client", {
    peer: context.peer,
    client: oneLine(fields.get("name") ?? ""),
    session: oneLine(fields.get("x-session-ext-id") ?? fields.get("x-session-id") ?? ""),
  });
  context.output.text('* ID ("name" "MaiRust")\r\n');
  return ok("ID completed");
}

async function check(context: InMailbox): Promise<Completion> {
  await context.selected.mailbox.refresh();
  return ok("CHECK completed");
}

function leave(context: InMailbox, { kind }: Of<"CLOSE" | "UNSELECT">): Completion {
  context.unselect();
  return ok(`${kind} completed`);
}

function write(context: LoggedIn, { name }: Of<"write">): Completion {
  if (NEED_MAILBOX.has(name) && context.selected === undefined) return SELECT_FIRST;
  return refuseWrite(context, name);
}
