/**
 * `database.url` as connection settings (step 7, below `db.ts`). Pure.
 *
 * The driver reads URLs itself, but fails on `postgres://user@/db?host=/run/postgresql` (no host before the path), the form that
 * PostgreSQL documents for UNIX sockets. Failures: `config_invalid`; the password never gets into a message.
 * Source: PostgreSQL manual §32.1.1.2 (connection URIs).
 */
import { MairustError } from "../core/errors.ts";

export interface DatabaseTarget {
  /** Host names or addresses in order of preference; one that starts with `/` is the directory of a UNIX socket. */
  readonly hosts: readonly string[];
  /** One per host. */
  readonly ports: readonly number[];
  readonly user: string;
  readonly password: string;
  readonly database: string;
  readonly tls: TlsMode;
  /** File with the certificate authority, for the `verify-…` modes. */
  readonly tlsRootFile: string | undefined;
}

export type TlsMode = "disable" | "prefer" | "require" | "verify-ca" | "verify-full";

const DEFAULT_PORT = 5432;
const FORM = /^postgres(?:ql)?:\/\/(?:([^@/?#]*)@)?([^/?#]*)(?:\/([^?#]*))?(?:\?([^#]*))?$/;
const TLS_MODES: ReadonlySet<string> = new Set(["disable", "prefer", "require", "verify-ca", "verify-full"]);
const KNOWN = new Set(["host", "port", "user", "password", "dbname", "sslmode", "sslrootcert"]);

/**
 * Read `postgres://user:password@host:port/database?host=…&sslmode=…`; several hosts are separated by commas.
 * @throws {MairustError} `config_invalid`: not such a URL, no user or database, unknown parameter
 */
export function parseDatabaseUrl(url: string): DatabaseTarget {
  const found = FORM.exec(url);
  if (found === null) throw invalid('it must look like "postgres://user@host/database"');
  const query = new URLSearchParams(found[4] ?? "");
  for (const name of query.keys()) if (!KNOWN.has(name)) throw invalid(`parameter "${name}" is not known`);
  const [urlUser = "", ...password] = (found[1] ?? "").split(":");
  const user = query.get("user") ?? decode(urlUser);
  if (user === "") throw invalid("it names no user");
  const { hosts, ports } = parseHosts(query.get("host") ?? decode(found[2] ?? ""), query.get("port"));
  return {
    hosts,
    ports,
    user,
    password: query.get("password") ?? decode(password.join(":")),
    database: query.get("dbname") ?? (decode(found[3] ?? "") || user),
    tls: parseTls(query.get("sslmode"), hosts),
    tlsRootFile: query.get("sslrootcert") ?? undefined,
  };
}

/** The URL without its password, for logs. */
export function redactDatabaseUrl(url: string): string {
  return url.replace(/^([a-z]+:\/\/[^:@/?#]*):[^@/?#]*@/, "$1@").replace(/([?&]password=)[^&#]*/g, "$1…");
}

function parseHosts(list: string, portList: string | null): { hosts: string[]; ports: number[] } {
  const given = portList === null ? [] : portList.split(",");
  const hosts: string[] = [];
  const ports: number[] = [];
  for (const [i, item] of (list === "" ? "localhost" : list).split(",").entries()) {
    const parts = item.startsWith("/") ? null : /^(\[[^\]]+\]|[^:]+)(?::(\d+))?$/.exec(item);
    const host = item.startsWith("/") ? item : parts?.[1]?.replace(/^\[|\]$/g, "");
    if (host === undefined) throw invalid("a host in it cannot be read");
    hosts.push(host);
    ports.push(parsePort(parts?.[2] ?? given[i] ?? given[0]));
  }
  return { hosts, ports };
}

function parsePort(text: string | undefined): number {
  if (text === undefined || text === "") return DEFAULT_PORT;
  const port = Number(text);
  if (!Number.isInteger(port) || port < 1 || port > 65_535) throw invalid(`"${text}" is no port`);
  return port;
}

/** Without `sslmode`, TLS is used where the server offers it (libpq's default); never on a UNIX socket. */
function parseTls(mode: string | null, hosts: readonly string[]): TlsMode {
  if (hosts.every(host => host.startsWith("/"))) return "disable";
  if (mode === null) return "prefer";
  if (!TLS_MODES.has(mode)) throw invalid(`sslmode "${mode}" is not one of ${[...TLS_MODES].join(", ")}`);
  return mode as TlsMode;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch (error) {
    throw new MairustError("config_invalid", "Cannot read database.url: a % escape in it is broken", {
      cause: error,
    });
  }
}

function invalid(why: string): MairustError {
  return new MairustError("config_invalid", `Cannot read database.url: ${why}`);
}
