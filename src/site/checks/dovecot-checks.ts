/** Faults in how Dovecot reads from us. Pure. Sources: `dovecot/README.md`, what was found on the wire with 2.3.19. */
import { parseListenSpec } from "../../platform/listen-spec.ts";
import type { Config } from "../../wire/config/schema.ts";
import type { SiteFinding } from "../../wire/site-calls.ts";
import { blocksOf, type DovecotBlock } from "../dovecot-conf.ts";
import { isWholeServer } from "../dovecot-obstacles.ts";
import type { DovecotFacts } from "../dovecot-read.ts";
import { finding } from "./finding.ts";

/** Without these, imapc asks in ways that crash it or that fetch whole messages. */
const FEATURES = ["rfc822.size", "fetch-headers", "fetch-bodystructure"];

export function checkDovecot(
  facts: DovecotFacts,
  config: Config,
  secret: string | undefined,
): readonly SiteFinding[] {
  const found = [...checkNames(facts)];
  if (!facts.settings.settings.has("imapc_host")) return found;
  return [
    ...found,
    ...checkLogin(facts, config, secret),
    ...checkFeatures(facts),
    ...checkReadOnly(facts, config),
    ...checkNamespaces(facts),
    ...checkUserdb(facts),
  ];
}

/** Names that Dovecot hands on must be whole addresses. */
function checkNames(facts: DovecotFacts): readonly SiteFinding[] {
  const format = facts.settings.settings.get("auth_username_format") ?? "%Lu";
  if (/%[LUu]*u|%\{user\}/u.test(format)) return [];
  return [
    finding(
      "error",
      "dovecot_username_form",
      `auth_username_format is ${format}: Dovecot's user names have no domain`,
      "the sidecar's accounts are whole addresses: logins and deliveries name somebody it does not know",
      "auth_username_format = %Lu, and user databases that are asked by %u (username_format=%n there keeps their form)",
    ),
  ];
}

function checkLogin(facts: DovecotFacts, config: Config, secret: string | undefined): readonly SiteFinding[] {
  const get = (name: string) => facts.settings.settings.get(name) ?? "";
  const found: SiteFinding[] = [];
  const port = Number(get("imapc_port") || "143");
  const listeners = config.imap.listen.map(parseListenSpec);
  if (!listeners.some(one => one.kind === "inet" && one.port === port))
    found.push(
      finding(
        "error",
        "imapc_port",
        `Dovecot asks ${get("imapc_host")}:${port}, and no listener of imap.listen has this port`,
        "users see an error when they open their mail",
        `imapc_host and imapc_port as in imap.listen (${config.imap.listen.join(", ")})`,
      ),
    );
  if (get("imapc_master_user") !== config.imap.master_user)
    found.push(
      finding(
        "error",
        "imapc_master_user",
        `imapc_master_user is "${get("imapc_master_user")}", imap.master_user is "${config.imap.master_user}"`,
        "the sidecar refuses Dovecot's logins",
        `imapc_master_user = ${config.imap.master_user}`,
      ),
    );
  if (get("imapc_user") !== "" && !/^%\{?u/u.test(get("imapc_user")) && !get("imapc_user").includes("%Lu"))
    found.push(
      finding(
        "error",
        "imapc_user",
        `imapc_user is ${get("imapc_user")}`,
        "everybody would open the mailbox of one name, or of a name without its domain",
        "imapc_user = %u",
      ),
    );
  return [...found, ...checkPassword(facts.imapcPassword, secret)];
}

function checkPassword(password: string | undefined, secret: string | undefined): readonly SiteFinding[] {
  if (password === undefined || secret === undefined || password === secret) return [];
  if (password.replace(/\r?\n$/u, "") === secret)
    return [
      finding(
        "error",
        "imapc_password_line_break",
        "imapc_password ends with a line break",
        "Dovecot takes every byte of the file that it is read from, and the sidecar refuses the login",
        "tr -d '\\n' </etc/mairust/imap-master.secret >/etc/dovecot/mairust/master.secret; doveadm reload",
      ),
    ];
  return [
    finding(
      "error",
      "imapc_password",
      "imapc_password is not the password of the sidecar",
      "the sidecar refuses Dovecot's logins: users get BYE Internal error",
      "the text of imap.master_password_file, without a line break",
    ),
  ];
}

function checkFeatures(facts: DovecotFacts): readonly SiteFinding[] {
  const features = (facts.settings.settings.get("imapc_features") ?? "").split(/\s+/u);
  const found: SiteFinding[] = [];
  if (!facts.version.startsWith("2.3")) return found;
  if (!features.includes("search"))
    found.push(
      finding(
        "error",
        "imapc_no_search",
        "imapc_features lacks search",
        "Dovecot 2.3 panics on some searches (Input stream unexpectedly has references) and drops the client",
        "imapc_features = rfc822.size fetch-headers fetch-bodystructure search delay-login send-id",
      ),
    );
  const missing = FEATURES.filter(name => !features.includes(name));
  if (missing.length > 0)
    found.push(
      finding(
        "warning",
        "imapc_slow",
        `imapc_features lacks ${missing.join(", ")}`,
        "Dovecot downloads whole messages to show a list of them",
        "imapc_features = rfc822.size fetch-headers fetch-bodystructure search delay-login send-id",
      ),
    );
  if (!features.includes("delay-login"))
    found.push(
      finding(
        "warning",
        "imapc_no_delay_login",
        "imapc_features lacks delay-login",
        "each login asks the sidecar at once: while it is away nobody logs in, not even to their own folders",
        "add delay-login to imapc_features",
      ),
    );
  return found;
}

/** imapc does not pass on that a mailbox is read-only. */
function checkReadOnly(facts: DovecotFacts, config: Config): readonly SiteFinding[] {
  const found: SiteFinding[] = [];
  const acl = blocksOf(facts.settings, "plugin").some(block => block.settings.has("acl"));
  const perAccount = facts.ours.has("accounts.conf");
  if (!facts.imapPlugins.includes("acl") || !(acl || perAccount))
    found.push(
      finding(
        "error",
        "imapc_no_acl",
        facts.imapPlugins.includes("acl")
          ? "the plugin acl has no rules"
          : "IMAP runs without the plugin acl",
        "clients are told that they may write: what they change, move or delete is answered OK and comes to nothing",
        "mail_plugins = $mail_plugins acl imap_acl in protocol imap, and plugin/acl = vfile:…/mairust.acl",
      ),
    );
  return [...found, ...(config.imap.writable === "flags" ? checkFlags(facts) : checkSeen(facts))];
}

/** Beside a sidecar that is read-only. */
function checkSeen(facts: DovecotFacts): readonly SiteFinding[] {
  const found: SiteFinding[] = [];
  for (const namespace of imapcNamespaces(facts)) {
    if (hasPrivateIndex(namespace)) continue;
    found.push(
      finding(
        "error",
        "imapc_no_indexpvt",
        `the location of the namespace ${namespace.title} has no INDEXPVT`,
        "what users have read is unread again the next time they look",
        `location = ${namespace.settings.get("location") ?? "imapc:~/mairust"}:INDEXPVT=~/mairust-private`,
      ),
    );
  }
  return found;
}

/** Beside a sidecar that keeps flags. */
function checkFlags(facts: DovecotFacts): readonly SiteFinding[] {
  const found: SiteFinding[] = [];
  for (const namespace of imapcNamespaces(facts).filter(hasPrivateIndex))
    found.push(
      finding(
        "error",
        "imapc_indexpvt",
        `the location of the namespace ${namespace.title} has INDEXPVT, and imap.writable is "flags"`,
        "what users mark as read stays in Dovecot: other clients, hooks and the API do not see it",
        "mairust setup … --apply, or the location without INDEXPVT (dovecot/flags.conf)",
      ),
    );
  if (/^\* owner (?!.*w)/mu.test(facts.ours.get("mairust.acl") ?? ""))
    found.push(
      finding(
        "error",
        "imapc_acl_no_flags",
        'mairust.acl does not give the right w, and imap.writable is "flags"',
        "what users set but \\Seen is answered OK and comes to nothing",
        "mairust setup … --apply, or owner lrsw in the ACL (dovecot/mairust-flags.acl)",
      ),
    );
  return found;
}

const hasPrivateIndex = ({ settings }: DovecotBlock) =>
  settings.get("location")?.includes("INDEXPVT=") === true;

const imapcNamespaces = (facts: DovecotFacts) =>
  blocksOf(facts.settings, "namespace").filter(one => one.settings.get("location")?.startsWith("imapc:"));

function checkNamespaces(facts: DovecotFacts): readonly SiteFinding[] {
  const found: SiteFinding[] = [];
  const mirror = imapcNamespaces(facts).find(one => one.settings.get("inbox") !== "yes");
  if (mirror !== undefined && mirror.settings.get("list") !== "no")
    found.push(
      finding(
        "warning",
        "mirror_listed",
        `the namespace ${mirror.title} is in the main listing`,
        "while the sidecar is away LIST gives a part and an error, and clients may show no folders at all",
        "list = no in this namespace",
      ),
    );
  const whole = isWholeServer(facts.settings);
  if (whole && facts.version.startsWith("2.3") && /THREAD=REF/u.test(facts.imapCapability || "THREAD=REFS"))
    found.push(
      finding(
        "warning",
        "imapc_thread",
        "Dovecot announces THREAD=REFERENCES or THREAD=REFS",
        "2.3.19 crashes on them with imapc: the client is dropped",
        "imap_capability = … as in dovecot/stage-store.conf",
      ),
    );
  const hasLocal = blocksOf(facts.settings, "namespace").some(
    one => !(one.settings.get("location") ?? "").startsWith("imapc:") && one.settings.get("inbox") !== "yes",
  );
  if (whole && !hasLocal)
    found.push(
      finding(
        "warning",
        "no_local_namespace",
        "there is no namespace that users may write to",
        "the sidecar is read-only: clients cannot save Sent and Drafts",
        "the namespace Local/ of dovecot/stage-store.conf",
      ),
    );
  return found;
}

/** With files per account, our user databases must be the first. */
function checkUserdb(facts: DovecotFacts): readonly SiteFinding[] {
  if (!facts.ours.has("accounts.conf")) return [];
  const userdbs = blocksOf(facts.settings, "userdb");
  const at = userdbs.findIndex(one => one.settings.get("args")?.endsWith("/mairust/account.dict"));
  if (at === 0) return [];
  return [
    finding(
      "error",
      "userdb_not_first",
      at < 0
        ? "Dovecot does not ask the sidecar's user databases"
        : "another user database is asked before the sidecar's",
      "accounts in the stages mirror and store do not see the sidecar's mail",
      `!include ${facts.ourDir}/first.conf as the first line of ${facts.configFile}`,
    ),
  ];
}
