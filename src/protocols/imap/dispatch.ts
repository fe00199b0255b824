/**
 * Which handler answers which command, and in which state (RFC 3501 §6: any state, authenticated, selected). LOGOUT, LOGIN,
 * AUTHENTICATE and IDLE steer the session itself and are not here.
 */
import { assertNever } from "../../core/errors.ts";
import type { ImapCommand } from "./command.ts";
import { type InMailbox, isInMailbox, isLoggedIn, type LoggedIn, type SessionContext } from "./context.ts";
import { fetch } from "./fetch.ts";
import { list, lsub, namespace, status, subscribe } from "./list.ts";
import { announce } from "./news.ts";
import { NEED_MAILBOX, refuseWrite } from "./read-only.ts";
import { bad, type Completion, ok, oneLine } from "./reply.ts";
import { search } from "./search.ts";
import { select } from "./select.ts";
import { store } from "./store.ts";

type Of<K extends ImapCommand["kind"]> = Extract<ImapCommand, { kind: K }>;
type Steering = Of<"LOGOUT" | "LOGIN" | "AUTHENTICATE" | "IDLE">;
type AnyState = Of<"CAPABILITY" | "NOOP" | "ID">;
type Selecting = Of<"FETCH" | "SEARCH" | "STORE" | "CLOSE" | "UNSELECT" | "CHECK">;

export const LOG_IN_FIRST = bad("Log in first");
const SELECT_FIRST = bad("Select a mailbox first");

export async function dispatch(
  context: SessionContext,
  command: Exclude<ImapCommand, Steering>,
  capabilities: string,
): Promise<Completion> {
  switch (command.kind) {
    case "CAPABILITY":
    case "NOOP":
    case "ID":
      return inAnyState(context, command, capabilities);
    case "FETCH":
    case "SEARCH":
    case "STORE":
    case "CLOSE":
    case "UNSELECT":
    case "CHECK":
      if (!isLoggedIn(context)) return LOG_IN_FIRST;
      return isInMailbox(context) ? inMailbox(context, command) : SELECT_FIRST;
    default:
      return isLoggedIn(context) ? loggedIn(context, command) : LOG_IN_FIRST;
  }
}

async function inAnyState(
  context: SessionContext,
  command: AnyState,
  capabilities: string,
): Promise<Completion> {
  switch (command.kind) {
    case "CAPABILITY":
      context.output.text(`* CAPABILITY ${capabilities}\r\n`);
      break;
    case "NOOP":
      await context.selected?.mailbox.refresh();
      break;
    case "ID":
      context.log.debug("imap client", {
        peer: context.peer,
        client: oneLine(command.fields.get("name") ?? ""),
        session: oneLine(command.fields.get("x-session-ext-id") ?? command.fields.get("x-session-id") ?? ""),
      });
      context.output.text('* ID ("name" "MaiRust")\r\n');
      break;
  }
  return ok(`${command.kind} completed`);
}

async function loggedIn(
  context: LoggedIn,
  command: Exclude<ImapCommand, Steering | AnyState | Selecting>,
): Promise<Completion> {
  switch (command.kind) {
    case "SELECT":
    case "EXAMINE":
      return select(context, command);
    case "LIST":
      return list(context, command.request);
    case "LSUB":
      return lsub(context, command.request);
    case "STATUS":
      return status(context, command);
    case "SUBSCRIBE":
    case "UNSUBSCRIBE":
      return subscribe(context, command.mailbox, command.kind === "SUBSCRIBE");
    case "NAMESPACE":
      return namespace(context);
    case "write":
      if (NEED_MAILBOX.has(command.name) && context.selected === undefined) return SELECT_FIRST;
      return refuseWrite(context.config, command.name);
    default:
      return assertNever(command);
  }
}

async function inMailbox(context: InMailbox, command: Selecting): Promise<Completion> {
  switch (command.kind) {
    case "FETCH":
      await announceFirst(context, command);
      return fetch(context, command);
    case "SEARCH":
      await announceFirst(context, command);
      return search(context, command, Date.now());
    case "STORE":
      return store(context, command);
    case "CHECK":
      await context.selected.mailbox.refresh();
      return ok("CHECK completed");
    case "CLOSE":
    case "UNSELECT":
      context.unselect();
      return ok(`${command.kind} completed`);
    default:
      return assertNever(command);
  }
}

/** A UID command may announce expunges first (RFC 3501 §7.4.1): what vanished is then not asked for. */
async function announceFirst(context: InMailbox, command: { readonly uid: boolean }): Promise<void> {
  if (command.uid) await announce(context);
}
