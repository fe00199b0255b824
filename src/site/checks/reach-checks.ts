/** Who reaches whom, by trying: Postfix's user our sockets, we Dovecot's LMTP, Dovecot our IMAP listener; and names that both rewrite. */
import { parseListenSpec } from "../../platform/listen-spec.ts";
import type { Config } from "../../wire/config/schema.ts";
import type { SiteFinding, SiteService } from "../../wire/site-calls.ts";
import { askAddress, askListener, socketFault, userIds } from "../host-read.ts";
import { socketPath } from "../milters.ts";
import { type PostfixFacts, postfixEnv } from "../postfix-read.ts";
import { isChrooted } from "../postfix-wanted.ts";
import { tryCommand } from "../run-command.ts";
import { routesOf } from "../transport-table.ts";
import { finding } from "./finding.ts";
import { oursIn, smtpdServices } from "./milter-checks.ts";

/** Aliases of ours that are looked up in Postfix's tables. */
const MAX_ALIASES = 200;

export async function checkSockets(facts: PostfixFacts, config: Config): Promise<readonly SiteFinding[]> {
  const user = await userIds(facts.effective.get("mail_owner") ?? "postfix");
  if (user === undefined) return [];
  const chrooted = smtpdServices(facts).some(service => isChrooted(service.chroot, facts));
  const milter = oursIn(facts.effective.get("smtpd_milters") ?? "", facts, config, chrooted)?.milter.socket;
  const hop = routesOf(facts.files.table ?? "").find(route => route.value.startsWith("mairust:"))?.value;
  const asked = [
    ["milter", milter, chrooted],
    ["lmtp", hop?.replace(/^mairust:/u, ""), false],
  ] as const;
  const found: SiteFinding[] = [];
  for (const [what, socket, inChroot] of asked) {
    if (socket === undefined) continue;
    const path = socketPath(socket, facts.queueDir, inChroot);
    const fault = path === undefined ? await tcpFault(socket) : await unixFault(path, user);
    if (fault === undefined) continue;
    found.push(
      finding(
        "error",
        fault.kind === "denied" ? `${what}_socket_mode` : `${what}_unreachable`,
        `Postfix cannot reach the sidecar at ${path ?? socket}: ${fault.why}`,
        what === "milter"
          ? "with default_action=tempfail no mail comes in, with accept it passes without hooks"
          : "mail for the sidecar waits in the queue",
        fault.kind === "denied"
          ? `install -d -o mairust -g postfix -m 2750 ${facts.queueDir}/mairust, ${what}.socket_group = "postfix", ${what}.socket_mode = "0660"`
          : `start the service; ${what}.listen must name what Postfix asks`,
      ),
    );
  }
  return found;
}

type Fault = { readonly kind: "denied" | "away"; readonly why: string };

async function unixFault(
  path: string,
  user: { readonly uid: number; readonly gids: readonly number[] },
): Promise<Fault | undefined> {
  const why = await socketFault(path, user);
  if (why !== undefined) return { kind: why.startsWith("it may not") ? "denied" : "away", why };
  const answer = await askAddress({ kind: "unix", path }, false);
  // This user may have fewer rights than Postfix's.
  return answer.kind === "refused" && answer.why !== "EACCES"
    ? { kind: "away", why: "nobody listens" }
    : undefined;
}

async function tcpFault(socket: string): Promise<Fault | undefined> {
  const match = /^inet6?:(.+)$/u.exec(socket);
  if (match === null) return { kind: "away", why: "it is no address" };
  const answer = await askListener(`inet:${match[1]}`, false);
  return answer.kind === "refused" ? { kind: "away", why: answer.why } : undefined;
}

/** The next hop of the stages before `store`: it must greet, and must not be ourselves. */
export async function checkRelays(
  config: Config,
  service: SiteService | undefined,
): Promise<readonly SiteFinding[]> {
  const stages = new Map((service?.domains ?? []).map(one => [one.name, one.stage]));
  const found: SiteFinding[] = [];
  for (const [name, domain] of Object.entries(config.domains)) {
    const stage = stages.get(name) ?? domain.stage;
    const relay = domain.relay.lmtp;
    if (relay === undefined) {
      if (stage === "store") continue;
      found.push(
        finding(
          stage === "observe" ? "advice" : "error",
          "relay_missing",
          `${name} is in stage ${stage} and has no relay.lmtp`,
          "what Postfix delivers to the sidecar has nowhere to go",
          `[domains."${name}"] relay.lmtp = "unix:/run/dovecot/lmtp"`,
        ),
      );
      continue;
    }
    if (config.lmtp.listen.some(spec => isSame(spec, relay))) {
      found.push(
        finding(
          "error",
          "relay_is_us",
          `relay.lmtp of ${name} is one of lmtp.listen`,
          "the sidecar would hand mail to itself until the loop check ends it",
          "name Dovecot's LMTP socket: unix:/run/dovecot/lmtp",
        ),
      );
      continue;
    }
    const answer = await askListener(relay, true);
    if (answer.kind === "greeting" && answer.text.startsWith("220")) continue;
    const why =
      answer.kind === "refused" ? answer.why : answer.kind === "silent" ? "no greeting" : answer.text;
    found.push(
      finding(
        stage === "store" ? "warning" : "error",
        "relay_unreachable",
        `the LMTP server of ${name} (${relay}) does not greet: ${why}`,
        stage === "store"
          ? "there is no way down from stage store"
          : "mail for the domain waits in Postfix's queue",
        "protocols = … lmtp in Dovecot, and a unix_listener that the user of the service may write to",
      ),
    );
  }
  return found;
}

function isSame(a: string, b: string): boolean {
  const [left, right] = [parseListenSpec(a), parseListenSpec(b)];
  if (left.kind === "unix" || right.kind === "unix")
    return left.kind === right.kind && "path" in left && "path" in right && left.path === right.path;
  return left.port === right.port && left.host === right.host;
}

/** An alias in both: Postfix rewrites first, so ours is never asked, or expands twice. */
export async function checkAliases(
  facts: PostfixFacts,
  service: SiteService | undefined,
  postfixDir: string | undefined,
): Promise<readonly SiteFinding[]> {
  const maps = (facts.effective.get("virtual_alias_maps") ?? "")
    .split(/[\s,]+/u)
    .filter(map => map.includes(":"));
  const found: SiteFinding[] = [];
  for (const alias of (service?.aliases ?? []).slice(0, MAX_ALIASES))
    for (const map of maps) {
      const result = await tryCommand("postmap", ["-q", alias, map], postfixEnv(postfixDir));
      if (result?.code !== 0 || result.stdout.trim() === "") continue;
      found.push(
        finding(
          "warning",
          "alias_twice",
          `${alias} is an alias here and in Postfix's ${map}`,
          `Postfix rewrites it to ${result.stdout.trim()} before the sidecar sees it`,
          `keep one: mairust account alias rm …, or take it out of ${map}`,
        ),
      );
    }
  return found;
}
