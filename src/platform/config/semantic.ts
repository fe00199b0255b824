/** What a schema cannot say: rules between keys. Run on the merged configuration; all that fail are reported. */
import { MAX_SYNC_TIMEOUT_MS } from "../../wire/config/hooks.ts";
import type { Config, HookConfig } from "../../wire/config/schema.ts";
import { isLoopback, parseListenSpec } from "../listen-spec.ts";
import { type ConfigProblem, type KeyPath, keyText, type Origin, problem } from "./problem.ts";
import { foundText } from "./schema-node.ts";

export type Report = (path: KeyPath, text: string) => void;

/** The keys of the listeners, which must not share an address. */
const LISTENERS: ReadonlyArray<
  readonly [path: readonly string[], of: (config: Config) => readonly string[]]
> = [
  [["milter", "listen"], ({ milter }) => milter.listen],
  [["lmtp", "listen"], ({ lmtp }) => lmtp.listen],
  [["imap", "listen"], ({ imap }) => imap.listen],
  [["imap", "client_listen"], ({ imap }) => imap.client_listen],
  [["api", "listen"], ({ api }) => api.listen],
  [["metrics", "listen"], ({ metrics }) => metrics.listen],
];

/** @returns the problems of a configuration whose single values are right */
export async function checkRules(
  config: Config,
  origins: ReadonlyMap<string, Origin>,
): Promise<readonly ConfigProblem[]> {
  const problems: ConfigProblem[] = [];
  const report: Report = (path, text) => {
    const key = keyText(path);
    const origin = origins.get(key) ?? origins.get(keyText(path.slice(0, -1))) ?? { kind: "default" };
    problems.push(problem(origin, key, text));
  };
  await checkHookRules(config.hooks, report);
  checkPlainHttp(config, report);
  checkSharedListeners(config, report);
  checkTls(config, report);
  checkNextHops(config, report);
  if (config.roles.length === 0) report(["roles"], "found an empty list; allowed: at least one role");
  return problems;
}

/** @param report  hears paths that begin with `hooks` and the place in the list */
export async function checkHookRules(hooks: readonly HookConfig[], report: Report): Promise<void> {
  checkHooks(hooks, report);
  checkFilterFields(hooks, report);
  await checkPatterns(hooks, report);
}

function checkHooks(hooks: readonly HookConfig[], report: Report): void {
  const names = new Set<string>();
  for (const [i, hook] of hooks.entries()) {
    if (names.has(hook.name))
      report(["hooks", i, "name"], `found "${hook.name}" a second time; allowed: one hook of each name`);
    // A hook whose own name was refused has none: that is reported already.
    if (hook.name !== undefined) names.add(hook.name);
    // Nor has one whose point was refused a limit.
    if (hook.point !== undefined && hook.point !== "post_receive" && hook.timeout_ms > MAX_SYNC_TIMEOUT_MS)
      report(
        ["hooks", i, "timeout_ms"],
        `found ${hook.timeout_ms}; allowed at ${hook.point}: at most ${MAX_SYNC_TIMEOUT_MS}, mail waits for it`,
      );
    const { size_min_bytes: min, size_max_bytes: max } = hook.filter;
    if (max !== 0 && min > max)
      report(
        ["hooks", i, "filter", "size_min_bytes"],
        `found ${min}; allowed: at most size_max_bytes, ${max}`,
      );
  }
}

/** Most header fields of one filter: each is a pattern that runs over the header. */
const MAX_FILTER_FIELDS = 32;
/** RFC 5322 §3.6.8 ftext; the length is a line's. */
const FIELD_NAME = /^[!-9;-~]{1,998}$/u;

/** Names that no header field can have would match nothing, and nobody would hear of it. */
function checkFilterFields(hooks: readonly HookConfig[], report: Report): void {
  for (const [i, { filter }] of hooks.entries()) {
    const path = ["hooks", i, "filter", "header"];
    const names = Object.keys(filter.header);
    if (names.length > MAX_FILTER_FIELDS)
      report(path, `found ${names.length} fields; allowed: at most ${MAX_FILTER_FIELDS}`);
    for (const name of names)
      if (!FIELD_NAME.test(name)) report([...path, name], `found ${foundText(name)}; allowed: a field name`);
  }
}

/** The engine is loaded only when there is a pattern: every command reads the configuration. */
async function checkPatterns(hooks: readonly HookConfig[], report: Report): Promise<void> {
  const patterns = hooks.flatMap(({ filter }, i) =>
    [
      [["recipient"], filter.recipient] as const,
      [["sender"], filter.sender] as const,
      [["domain"], filter.domain] as const,
      ...Object.entries(filter.header).map(([name, pattern]) => [["header", name], pattern] as const),
    ].map(([key, pattern]) => ({ path: ["hooks", i, "filter", ...key], pattern })),
  );
  if (patterns.every(({ pattern }) => pattern === "")) return;
  const { patternProblem } = await import("../../core/hook-filter.ts");
  for (const { path, pattern } of patterns) {
    // What the database cannot keep would come back as another pattern; \x00 says the same.
    if (/\0|\p{Cs}/u.test(pattern)) report(path, `found ${foundText(pattern)}; allowed: text without NUL`);
    const reason = patternProblem(pattern)?.replace(`Cannot use pattern "${pattern}": `, "");
    if (reason !== undefined)
      report(path, `found ${foundText(pattern)}; allowed: an RE2 pattern (${reason})`);
  }
}

/** Passwords and tokens do not cross a network in the clear: plain HTTP only on loopback, or behind a proxy that ends TLS. */
function checkPlainHttp(config: Config, report: Report): void {
  if (config.api.trust_proxy) return;
  for (const spec of config.api.listen) {
    const address = parseListenSpec(spec);
    if (address.kind === "inet" && !isLoopback(address))
      report(
        ["api", "listen"],
        `found "${spec}", plain HTTP off loopback; allowed: a loopback address or a UNIX socket`,
      );
  }
}

/** Mail of a domain that is not stored here would wait for ever. */
function checkNextHops(config: Config, report: Report): void {
  for (const [name, { stage, relay }] of Object.entries(config.domains))
    if (stage !== "store" && relay.lmtp === undefined)
      report(
        ["domains", name, "stage"],
        `found "${stage}"; allowed only with relay.lmtp of the domain, as "unix:/run/dovecot/lmtp": where its mail goes on`,
      );
}

/** Certificate and key come together; who reads mail from elsewhere needs them, or no password is ever taken there (RFC 8314 §3). */
function checkTls({ imap, tls }: Config, report: Report): void {
  for (const [here, there] of [
    ["cert_file", "key_file"],
    ["key_file", "cert_file"],
  ] as const)
    if (tls[here] !== "" && tls[there] === "")
      report(["tls", here], `found "${tls[here]}" without tls.${there}; allowed: both or neither`);
  if (imap.client_listen.length > 0 && imap.connections < 2)
    report(["imap", "connections"], "found 1; allowed with imap.client_listen: at least 2");
  if (tls.cert_file !== "") return;
  for (const spec of imap.client_listen) {
    const address = parseListenSpec(spec);
    if (address.kind === "tls" || !isLoopback(address))
      report(
        ["imap", "client_listen"],
        `found "${spec}" without a certificate; allowed only with tls.cert_file and tls.key_file: passwords do not cross a network in the clear`,
      );
  }
}

function checkSharedListeners(config: Config, report: Report): void {
  const owner = new Map<string, string>();
  for (const [path, of] of LISTENERS) {
    for (const spec of of(config)) {
      const address = parseListenSpec(spec);
      if (address.kind !== "unix" && address.port === 0) continue;
      // A port is taken with TLS as without.
      const place = address.kind === "unix" ? spec : `${address.host}:${address.port}`;
      const other = owner.get(place);
      if (other !== undefined) report(path, `found "${spec}", which ${other} uses already`);
      owner.set(place, keyText(path));
    }
  }
}
