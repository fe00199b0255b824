/** Faults of the host and of our own side: secrets, keys, disks, ports, the database, what the running service says. */
import { MairustError, messageOf } from "../../core/errors.ts";
import type { Config } from "../../wire/config/schema.ts";
import type { SiteFinding, SiteService } from "../../wire/site-calls.ts";
import { askListener, freeMegabytes, modeOf, octal } from "../host-read.ts";
import { finding } from "./finding.ts";

/** Warned of before `limits.min_free_disk_mb` refuses mail. */
const ROOM_FACTOR = 2;
/** Clocks that differ more than this confuse timestamps, expiries and signatures. */
const SKEW_MS = 5_000;

export interface DatabaseFacts {
  readonly fsync: string;
  readonly fullPageWrites: string;
  readonly synchronousCommit: string;
  /** Its clock less ours. */
  readonly skewMs: number;
}

export async function checkSecrets(
  config: Config,
  secret: string | undefined,
): Promise<readonly SiteFinding[]> {
  const found: SiteFinding[] = [];
  const { master_password_file: file } = config.imap;
  if (secret === undefined)
    found.push(
      finding(
        "warning",
        "imap_secret_unreadable",
        `${file} cannot be read`,
        "it is made when the service starts for the first time; without it nobody can tell whether Dovecot has the right password",
        "start the service, and run doctor as root or as the user of the service",
      ),
    );
  else if (secret === "")
    found.push(
      finding(
        "error",
        "imap_secret_empty",
        `${file} is empty`,
        "the service does not start with it",
        `rm ${file}; the service makes another one at its start`,
      ),
    );
  for (const [code, path] of [
    ["key_file_mode", config.key_file],
    ["imap_secret_mode", file],
  ] as const) {
    const mode = await modeOf(path);
    if (mode === undefined || (mode & 0o007) === 0) continue;
    found.push(
      finding(
        "error",
        code,
        `everybody may read ${path} (mode ${octal(mode)})`,
        "the service refuses to start with it; whoever reads it can decrypt secrets or log in as anybody",
        `chmod 0600 ${path}`,
      ),
    );
  }
  return found;
}

export async function checkDisks(config: Config): Promise<readonly SiteFinding[]> {
  const found: SiteFinding[] = [];
  const limit = config.limits.min_free_disk_mb;
  for (const path of new Set([config.blobs.path, config.data_dir])) {
    const free = await freeMegabytes(path);
    if (free === undefined || free >= limit * ROOM_FACTOR) continue;
    found.push(
      finding(
        free < limit ? "error" : "warning",
        "disk_full",
        `${free} MB are free where ${path} lies; limits.min_free_disk_mb is ${limit}`,
        free < limit
          ? "the sidecar answers 452 to every delivery: mail waits in Postfix"
          : "below the limit the sidecar answers 452 to every delivery",
        "make room, or lower limits.min_free_disk_mb",
      ),
    );
  }
  return found;
}

/** Somebody else on our ports, while the service does not run. */
export async function checkPorts(config: Config): Promise<readonly SiteFinding[]> {
  const found: SiteFinding[] = [];
  for (const [key, specs] of [
    ["milter.listen", config.milter.listen],
    ["lmtp.listen", config.lmtp.listen],
    ["imap.listen", config.imap.listen],
    ["imap.client_listen", config.imap.client_listen],
    ["api.listen", config.api.listen],
  ] as const)
    for (const spec of specs) {
      const answer = await askListener(spec, false);
      if (answer.kind === "refused") continue;
      found.push(
        finding(
          "error",
          "port_taken",
          `somebody else listens on ${spec} (${key})`,
          "the service does not answer on its own socket, so this is another program, and it cannot start",
          `stop that program (ss -lptn), or change ${key}`,
        ),
      );
    }
  return found;
}

export function checkReady(service: SiteService | undefined, config: Config): readonly SiteFinding[] {
  if (service === undefined)
    return [
      finding(
        "warning",
        "service_away",
        "the service does not answer on its UNIX socket",
        `mail for it waits in Postfix; ${config.api.listen.join(", ")} was asked`,
        "systemctl start mairust, or mairust serve; its log says why it ended",
      ),
    ];
  return service.checks
    .filter(check => check.status !== "ok")
    .map(check =>
      finding(
        check.status === "error" ? "error" : "warning",
        "not_ready",
        `${check.name} is ${check.status}: ${check.detail ?? "no reason"}`,
        "the service says so itself (readyz)",
        "see its log and mairust readyz",
      ),
    );
}

export async function checkDatabase(
  url: string | undefined,
  ask: (url: string) => Promise<DatabaseFacts>,
): Promise<readonly SiteFinding[]> {
  // The embedded server has our own settings, and belongs to the service.
  if (url === undefined) return [];
  try {
    return databaseFindings(await ask(url));
  } catch (error) {
    if (!(error instanceof MairustError)) throw error;
    return [
      finding(
        "error",
        "database_away",
        "the PostgreSQL of database.url does not answer",
        messageOf(error),
        "start it, or correct database.url; until then mail waits in Postfix",
      ),
    ];
  }
}

export function databaseFindings(facts: DatabaseFacts): readonly SiteFinding[] {
  const found: SiteFinding[] = [];
  for (const [name, value] of [
    ["fsync", facts.fsync],
    ["full_page_writes", facts.fullPageWrites],
  ] as const)
    if (value !== "on")
      found.push(
        finding(
          "error",
          `postgres_${name}`,
          `${name} is ${value} in PostgreSQL`,
          "after a power failure mail that was answered 250 is gone, or the database is damaged",
          `ALTER SYSTEM SET ${name} = on; SELECT pg_reload_conf();`,
        ),
      );
  if (Math.abs(facts.skewMs) > SKEW_MS)
    found.push(
      finding(
        "warning",
        "clock_skew",
        `the clocks of this host and of PostgreSQL differ by ${Math.round(facts.skewMs / 1000)} s`,
        "expiries, retries and the order of timelines go by both",
        "let both hosts keep time by NTP (timedatectl, chronyc tracking)",
      ),
    );
  return found;
}
