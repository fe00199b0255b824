/** Faults in how Postfix delivers to us, and in what it accepts beside us. Pure. */
import type { Config } from "../../wire/config/schema.ts";
import type { SiteFinding, SiteService } from "../../wire/site-calls.ts";
import { findService, type MasterService } from "../master-cf.ts";
import { secondsOf } from "../milters.ts";
import type { PostfixFacts } from "../postfix-read.ts";
import { routesOf } from "../transport-table.ts";
import { finding } from "./finding.ts";

/** Postfix's own lmtp_data_done_timeout. */
const DATA_DONE_S = 600;

export function checkRoutes(
  facts: PostfixFacts,
  config: Config,
  service: SiteService | undefined,
): readonly SiteFinding[] {
  const routes = routesOf(facts.files.table ?? "").filter(route => route.value.startsWith("mairust:"));
  return [
    ...checkDomains(
      routes.map(route => route.key),
      config,
      service,
    ),
    ...(routes.length === 0 ? [] : [...checkService(facts, config), ...checkTable(facts)]),
    ...checkGlobal(facts, config),
  ];
}

const domainOf = (key: string) => key.slice(key.lastIndexOf("@") + 1);

function checkDomains(
  keys: readonly string[],
  config: Config,
  service: SiteService | undefined,
): readonly SiteFinding[] {
  const known = new Map<string, string>([
    ...Object.entries(config.domains).map(([name, domain]) => [name, domain.stage] as const),
    ...(service?.domains ?? []).map(domain => [domain.name, domain.stage] as const),
  ]);
  const routed = new Set(keys.map(domainOf));
  const unknown = [...routed].filter(name => !known.has(name));
  const missing = [...known].filter(([name, stage]) => stage !== "observe" && !routed.has(name));
  return [
    ...unknown.map(name =>
      // Without the service only the files are known: a domain may have been made by command.
      finding(
        service === undefined ? "warning" : "error",
        "route_unknown_domain",
        `Postfix's table sends ${name} to the sidecar, which does not know it`,
        "the sidecar answers 550 5.1.2: Postfix sends bounces",
        `mairust domain add ${name}, or take its line out of mairust-transport`,
      ),
    ),
    ...missing.map(([name, stage]) =>
      finding(
        "warning",
        "route_missing",
        `${name} is in stage ${stage} and no line of mairust-transport names it`,
        "its mail does not come here: Postfix delivers it the old way",
        `mairust setup ${name} --stage ${stage} --apply`,
      ),
    ),
  ];
}

function checkService(facts: PostfixFacts, config: Config): readonly SiteFinding[] {
  const service = findService(facts.files.master, "mairust", "unix");
  if (service === undefined)
    return [
      finding(
        "error",
        "route_no_service",
        "the table sends mail to the transport mairust, and master.cf has no such service",
        "Postfix defers all of it: mail transport unavailable",
        "mairust setup … --apply, or the lines of postfix/stage-store.master.cf",
      ),
    ];
  const setting = (name: string) => service.settings.get(name) ?? facts.effective.get(name);
  const wait = secondsOf(setting("lmtp_data_done_timeout"), DATA_DONE_S);
  return [
    ...(wait * 1000 > config.lmtp.chain_timeout_ms
      ? []
      : [
          finding(
            "error",
            "lmtp_timeout",
            `Postfix waits ${wait} s after DATA, the sidecar takes up to ${config.lmtp.chain_timeout_ms} ms`,
            "Postfix gives up on mail that is stored a moment later, and brings it again and again",
            "in master.cf, mairust: -o lmtp_data_done_timeout=60s (above lmtp.chain_timeout_ms)",
          ),
        ]),
    ...checkBytes(setting),
    ...checkForm(service, facts),
  ];
}

function checkBytes(setting: (name: string) => string | undefined): readonly SiteFinding[] {
  return [
    ...(setting("lmtp_send_xforward_command") === "yes"
      ? []
      : [
          finding(
            "warning",
            "lmtp_no_xforward",
            "Postfix does not send XFORWARD to the sidecar",
            "the client's address is unknown, and the queue id is taken from a Received field",
            "in master.cf, mairust: -o lmtp_send_xforward_command=yes",
          ),
        ]),
    ...(setting("lmtp_line_length_limit") === "0"
      ? []
      : [
          finding(
            "warning",
            "lmtp_line_length",
            `Postfix folds lines of more than ${setting("lmtp_line_length_limit") ?? "998"} bytes`,
            "what is stored is not what was sent, and signatures break",
            "in master.cf, mairust: -o lmtp_line_length_limit=0",
          ),
        ]),
  ];
}

function checkForm(service: MasterService, facts: PostfixFacts): readonly SiteFinding[] {
  const found: SiteFinding[] = [];
  if (service.command !== "lmtp")
    found.push(
      finding(
        "error",
        "route_not_lmtp",
        `the service mairust runs ${service.command}`,
        "only lmtp gives one reply per recipient and keeps mail in the queue while the sidecar is away",
        "the lines of postfix/stage-store.master.cf",
      ),
    );
  const limit = Number(facts.effective.get("mairust_destination_recipient_limit") ?? "50");
  if (limit === 1)
    found.push(
      finding(
        "advice",
        "lmtp_one_recipient",
        "mairust_destination_recipient_limit is 1",
        "a message to many is sent once for each: no shared blob, no shared commit, plugins are called for each",
        "postconf -e mairust_destination_recipient_limit=50",
      ),
    );
  return found;
}

function checkTable(facts: PostfixFacts): readonly SiteFinding[] {
  const maps = (facts.effective.get("transport_maps") ?? "").split(/[\s,]+/u).filter(map => map !== "");
  const at = maps.findIndex(map => map.endsWith("/mairust-transport"));
  if (at === 0) return [];
  return [
    at < 0
      ? finding(
          "error",
          "route_table_unused",
          "transport_maps does not name the sidecar's table",
          "mail goes the old way, whatever mairust-transport says",
          "postconf -e 'transport_maps = $mairust_transport_maps $mairust_other_transport_maps'",
        )
      : finding(
          "warning",
          "route_not_first",
          `the sidecar's table stands behind ${maps[0]} in transport_maps`,
          "a line of the other table for the same domain or address wins",
          "put $mairust_transport_maps first",
        ),
  ];
}

function checkGlobal(facts: PostfixFacts, config: Config): readonly SiteFinding[] {
  const found: SiteFinding[] = [];
  const value = (name: string) => facts.effective.get(name) ?? "";
  const inUse = facts.files.table !== undefined;
  if (inUse && value("enable_long_queue_ids") !== "yes")
    found.push(
      finding(
        "error",
        "queue_ids_short",
        "enable_long_queue_ids is off",
        "short queue ids are used again: another message may be taken for one that is stored already",
        "postconf -e enable_long_queue_ids=yes",
      ),
    );
  const size = Number(value("message_size_limit"));
  if (size === 0 || size > config.limits.message_bytes)
    found.push(
      finding(
        "warning",
        "message_size",
        `message_size_limit is ${size === 0 ? "off" : size}, limits.message_bytes is ${config.limits.message_bytes}`,
        "mail in between is accepted by Postfix and refused by the sidecar: it is bounced",
        `postconf -e message_size_limit=${config.limits.message_bytes}, or raise limits.message_bytes`,
      ),
    );
  found.push(...checkDelimiter(value("recipient_delimiter")));
  // Unknown to old versions: then there is nothing to set.
  if (facts.effective.has("smtpd_forbid_bare_newline") && value("smtpd_forbid_bare_newline") === "no")
    found.push(
      finding(
        "advice",
        "bare_newline",
        "smtpd_forbid_bare_newline is off",
        "mail with bare line feeds can smuggle a second message past other servers (SMTP smuggling)",
        "postconf -e smtpd_forbid_bare_newline=yes 'smtpd_forbid_bare_newline_exclusions = $mynetworks'",
      ),
    );
  return found;
}

function checkDelimiter(delimiter: string): readonly SiteFinding[] {
  if (delimiter === "+") return [];
  return [
    finding(
      delimiter === "" ? "advice" : "warning",
      "recipient_delimiter",
      delimiter === ""
        ? "recipient_delimiter is empty in Postfix"
        : `recipient_delimiter is "${delimiter}" in Postfix`,
      "the sidecar takes user+detail@ for user@: Postfix and it do not agree on who that is",
      "postconf -e recipient_delimiter=+",
    ),
  ];
}
