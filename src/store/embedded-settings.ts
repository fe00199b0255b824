/**
 * How the embedded PostgreSQL is set: durable without exception, small, and reachable only by its UNIX socket (no message passes
 * here). Given on the command line, so that a newer version of the service brings its own. Pure.
 * Source: PostgreSQL 18 manual §19.
 */
import { MairustError } from "../core/errors.ts";

/** Port number in the socket's name; no TCP port is opened. */
export const EMBEDDED_PORT = 5432;
export const EMBEDDED_ROLE = "mairust";
export const EMBEDDED_DATABASE = "mairust";

/** initdb options. The builtin C.UTF-8 knows kana and kanji as letters and never changes with the system's libraries. */
export const INITDB_OPTIONS: readonly string[] = [
  "--username=mairust",
  "--auth=trust",
  "--encoding=UTF8",
  "--locale-provider=builtin",
  "--builtin-locale=C.UTF-8",
  "--locale=C.UTF-8",
  "--no-instructions",
];

const SETTINGS: Readonly<Record<string, string>> = {
  // Who answers 250 relies on these.
  fsync: "on",
  synchronous_commit: "on",
  full_page_writes: "on",
  // The socket in a folder of mode 0700 is the access control; the bundled OpenSSL is old and stays unused.
  listen_addresses: "",
  unix_socket_permissions: "0700",
  ssl: "off",
  // Connections: the service's pool, its listener, some for tools.
  max_connections: "40",
  // One node, no replicas: less to write. A server with replicas is what database.url is for.
  wal_level: "minimal",
  max_wal_senders: "0",
  wal_compression: "on",
  max_wal_size: "1GB",
  min_wal_size: "80MB",
  checkpoint_timeout: "15min",
  // Small: pages are taken as they are used, and helper processes cost memory each.
  shared_buffers: "64MB",
  work_mem: "4MB",
  maintenance_work_mem: "32MB",
  effective_cache_size: "512MB",
  temp_file_limit: "4GB",
  huge_pages: "off",
  io_method: "sync",
  max_parallel_workers_per_gather: "0",
  max_parallel_maintenance_workers: "0",
  max_logical_replication_workers: "0",
  max_replication_slots: "0",
  autovacuum_max_workers: "2",
  autovacuum_worker_slots: "2",
  jit: "off",
  random_page_cost: "1.1",
  update_process_title: "off",
  // Log: what an operator needs, and no values out of statements.
  log_min_messages: "warning",
  log_min_error_statement: "panic",
  log_error_verbosity: "terse",
  log_parameter_max_length_on_error: "0",
  log_checkpoints: "off",
  log_timezone: "UTC",
  timezone: "UTC",
  lc_messages: "C",
  cluster_name: "mairust",
};

/** Arguments of `postgres` for a data folder and a socket folder. */
export function serverArguments(clusterDir: string, socketDir: string): string[] {
  const settings = { ...SETTINGS, unix_socket_directories: socketDir };
  return [
    "-D",
    clusterDir,
    ...Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]),
  ];
}

/** Longest path of a UNIX socket in octets: sun_path without its final NUL (unix(7); 104 on BSD and macOS). */
const MAX_SOCKET_PATH_BYTES = process.platform === "linux" ? 107 : 103;

/**
 * Where the socket goes: in the data folder if its path is short enough there, else in `runtimeDir`.
 * @throws {MairustError} `config_invalid`: too long in both
 */
export function chooseSocketDir(clusterDir: string, runtimeDir: string): string {
  for (const dir of [clusterDir, `${runtimeDir}/postgres`]) {
    if (socketPathBytes(dir) <= MAX_SOCKET_PATH_BYTES && !dir.includes(",")) return dir;
  }
  throw new MairustError(
    "config_invalid",
    `Cannot place the database's socket: its path has ${socketPathBytes(`${runtimeDir}/postgres`)} octets in runtime_dir, ` +
      `at most ${MAX_SOCKET_PATH_BYTES} are possible; choose a shorter runtime_dir`,
  );
}

function socketPathBytes(dir: string): number {
  return Buffer.byteLength(`${dir}/.s.PGSQL.${EMBEDDED_PORT}`);
}
