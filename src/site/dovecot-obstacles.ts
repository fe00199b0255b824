/** What keeps the stages `mirror` and `store` from being set up in a Dovecot, account by account. Pure. */
import type { SiteFinding, SiteTarget } from "../wire/site-calls.ts";
import { blocksOf, type DovecotBlock, inboxNamespace } from "./dovecot-conf.ts";
import type { DovecotFacts } from "./dovecot-read.ts";

const SEPARATOR = "/";

interface Input {
  readonly facts: DovecotFacts;
  readonly secret: string | undefined;
}

export function dovecotObstacles({ facts, secret }: Input, target: SiteTarget): readonly SiteFinding[] {
  const found: SiteFinding[] = [];
  const add = (code: string, what: string, cause: string, fix: string) =>
    found.push({ code, severity: "error", what, cause, fix });
  if (!facts.version.startsWith("2.3"))
    add(
      "dovecot_version",
      `this is Dovecot ${facts.version}; setup writes the syntax of 2.3`,
      "2.4 has another syntax for user databases and namespaces",
      "follow dovecot/accounts-2.4.conf by hand, on one account first",
    );
  if (secret === undefined)
    add(
      "imap_secret_unreadable",
      "the sidecar's password for Dovecot cannot be read",
      "imap.master_password_file is made when the service starts for the first time, and only its owner may read it",
      'start the service ("mairust serve"), and run setup as root',
    );
  const inbox = inboxNamespace(facts.settings);
  if (inbox !== undefined && (inbox.title === "" || /^\d+$/u.test(inbox.title)))
    add(
      "inbox_namespace_unnamed",
      "the namespace with inbox = yes has no name",
      "a user database switches a namespace by its name",
      'write "namespace inbox {" in place of "namespace {"',
    );
  if (isWholeServer(facts.settings))
    add(
      "dovecot_whole_server",
      "this Dovecot reads everybody's mail from the sidecar already",
      "stage-store.conf is included: it has no accounts",
      "take its !include out first (dovecot/README.md)",
    );
  else if (facts.settings.settings.has("imapc_host") && !facts.ours.has("accounts.conf"))
    add(
      "imapc_in_use",
      "imapc_host is set already, for something else",
      "Dovecot 2.3 has one imapc server for all namespaces",
      "take the imapc_… settings out, or set up another Dovecot instance",
    );
  const other = target.stage === "store" ? otherSeparators(facts.settings, inbox) : [];
  if (other.length > 0)
    add(
      "namespace_separator",
      `namespaces with another separator than "${SEPARATOR}" are listed, too: ${other.join(", ")}`,
      "Dovecot wants one separator for all that it lists, and the sidecar's is /",
      `set separator = ${SEPARATOR} in them (and in their prefix), or list = no`,
    );
  return found;
}

/** `stage-store.conf` is included for everybody. */
export function isWholeServer(settings: DovecotBlock): boolean {
  const inbox = inboxNamespace(settings);
  const location = inbox?.settings.get("location") ?? settings.settings.get("mail_location") ?? "";
  return location.startsWith("imapc:");
}

function otherSeparators(settings: DovecotBlock, inbox: DovecotBlock | undefined): readonly string[] {
  return blocksOf(settings, "namespace")
    .filter(one => one !== inbox && !one.title.startsWith("mairust"))
    .filter(one => one.settings.get("list") !== "no" && one.settings.get("disabled") !== "yes")
    .filter(one => one.settings.get("separator") !== SEPARATOR)
    .map(one => one.title);
}
