/**
 * One account's mail as its clients see it in stage `store`, for Dovecot's own commands: the namespaces of its file are switched on by
 * options, since fields of that file are for logins alone and `doveadm` sees Dovecot's own mail otherwise. Works in every stage, as long as
 * our lines are in Dovecot's configuration; what users read then lies in their homes for good.
 *
 * Source: doveadm(1), doveadm-search-query(7), doveadm-mailbox(1), doveadm-flags(1) (-u user/mask).
 */
import { MairustError } from "../core/errors.ts";
import { blocksOf, inboxNamespace } from "./dovecot-conf.ts";
import { type DovecotFacts, dovecotArgs } from "./dovecot-read.ts";
import { runCommand } from "./run-command.ts";

/**
 * Run one of Dovecot's commands on it.
 * @param command  its words, as `["mailbox", "status"]`
 * @param options  of `doveadm` itself
 * @returns standard output
 * @throws {MairustError} `invalid_state` it failed; `too_many` it says more than is kept; `deadline`
 */
export type StoreView = (
  command: readonly string[],
  args: readonly string[],
  options?: readonly string[],
) => Promise<string>;

/** Option: without the private record, so that the sidecar's own flags are what is searched. */
export const SIDECAR_FLAGS = ["-o", "namespace/mairust_inbox/location=imapc:~/mairust"] as const;

export interface ViewMailbox {
  readonly name: string;
  /** Dovecot's, in hex. */
  readonly guid: string;
  readonly messages: number;
  readonly uidValidity: number;
  /** The highest UID that was given. */
  readonly lastUid: number;
}

/** `doveadm -u` takes a name with these for every user that it matches, and nothing makes it take them as they are. */
const MASK = /[*?]/u;

const ourNamespace = ({ settings }: DovecotFacts) =>
  blocksOf(settings, "namespace").find(({ title }) => title === "mairust_inbox");

/** False where the sidecar keeps all flags (`imap.writable = "flags"`): then Dovecot shows what the sidecar knows. */
export function keepsSeen(facts: DovecotFacts): boolean {
  return /:INDEXPVT=/u.test(ourNamespace(facts)?.settings.get("location") ?? "");
}

/**
 * @throws {MairustError} `invalid_argument`: Dovecot would take the name for many; `invalid_state`: our lines are not in its configuration,
 * and it would show its own mail
 */
export function storeView(facts: DovecotFacts, account: string): StoreView {
  if (MASK.test(account)) {
    const text = `Dovecot takes "${account}" for the name of many accounts`;
    throw new MairustError("invalid_argument", `Cannot look at mail: ${text}`, { publicText: text });
  }
  const ours = ourNamespace(facts);
  if (!/^imapc:/u.test(ours?.settings.get("location") ?? "")) {
    const text = 'Dovecot has no namespace "mairust_inbox" of setup';
    throw new MairustError("invalid_state", `Cannot look at mail: ${text}`, { publicText: text });
  }
  const inbox = inboxNamespace(facts.settings)?.title ?? "inbox";
  const shown = ["-o", `namespace/${inbox}/disabled=yes`, "-o", "namespace/mairust_inbox/disabled=no"];
  return (command, args, options = []) =>
    runCommand("doveadm", [
      ...[...dovecotArgs(facts.namedFile), ...shown, ...options],
      ...[...command, "-u", account, ...args],
    ]);
}

/** @throws {MairustError} as {@link StoreView} */
export async function mailboxesOf(view: StoreView): Promise<readonly ViewMailbox[]> {
  const fields = "messages uidnext uidvalidity guid";
  return viewMailboxes(await view(["mailbox", "status"], [fields, "*"], ["-f", "tab"]));
}

/** @param output  of `doveadm -f tab mailbox status`: what stands in which column, then a line for each mailbox */
export function viewMailboxes(output: string): readonly ViewMailbox[] {
  const [head = "", ...lines] = output.split("\n");
  const titles = head.split("\t");
  return lines
    .filter(line => line !== "")
    .map(line => {
      const values = line.split("\t");
      const at = (title: string) => unescaped(values[titles.indexOf(title)] ?? "");
      const [messages, next, uidValidity] = [at("messages"), at("uidnext"), at("uidvalidity")].map(Number);
      if (messages === undefined || next === undefined || uidValidity === undefined || !(next >= 1))
        throw new MairustError("invalid_state", `Cannot read what doveadm says of a mailbox: "${line}"`);
      return { name: at("mailbox"), guid: at("guid"), messages, uidValidity, lastUid: next - 1 };
    });
}

const ESCAPED: Readonly<Record<string, string>> = { 0: "\0", 1: "\u0001", t: "\t", r: "\r", n: "\n" };

/** Source: Dovecot src/lib/strescape.c (str_tabunescape). */
function unescaped(text: string): string {
  return text.replace(/\u0001(.)/gu, (_, letter: string) => ESCAPED[letter] ?? letter);
}
