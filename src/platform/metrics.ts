/**
 * Every metric of the service, as one typed object over a registry of its own. Base units, no addresses as labels. A metric is
 * registered when something feeds it: those of the sandbox come with it.
 * Source: Prometheus naming (prometheus.io/docs/practices/naming).
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { EgressTraffic } from "../core/ports/egress.ts";
import type { ComponentState } from "./component.ts";

const PREFIX = "mairust_";
/** From the cost of a hook call to the longest chain time-out. */
const SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 30];

export interface MetricsOptions {
  /** Read when the metrics are asked for. */
  readonly components?: () => ReadonlyArray<{ readonly name: string; readonly state: ComponentState }>;
  /** Read when the metrics are asked for; when that fails, the others are shown without them. */
  readonly jobs?: () => Promise<readonly JobGauges[]>;
  /** Messages that are held, as `jobs`. */
  readonly held?: () => Promise<number>;
  /** Mails that wait to be sent, by purpose, as `jobs`. */
  readonly outbox?: () => Promise<ReadonlyMap<string, number>>;
  /** What went through the proxies of sandboxed plugins since the start. A plugin that has none has no figure. */
  readonly network?: () => readonly EgressTraffic[];
  /** Memory, CPU, event loop of the process; default true. */
  readonly process?: boolean;
}

export interface JobGauges {
  readonly kind: string;
  readonly state: string;
  readonly count: number;
  /** Of the job that is due longest. */
  readonly ageSeconds: number;
}

const STATES: readonly ComponentState[] = ["created", "initialized", "running", "stopped", "failed"];

export type Metrics = ReturnType<typeof createMetrics>;

/** @returns all metrics; nothing global, so that two services in one process do not meet */
export function createMetrics(options: MetricsOptions = {}) {
  const registry = new Registry();
  const register = new Registrar(registry);
  if (options.process !== false) collectDefaultMetrics({ register: registry, prefix: PREFIX });
  registerComponents(registry, options.components);
  if (options.jobs !== undefined) registerJobs(registry, options.jobs);
  if (options.held !== undefined) registerHeld(registry, options.held);
  if (options.outbox !== undefined) registerOutbox(registry, options.outbox);
  const memory = registerPluginMemory(registry);
  if (options.network !== undefined) registerNetwork(registry, options.network);
  return {
    ...mailMetrics(register),
    ...outboxMetrics(register),
    ...pluginMetrics(register),
    /** Where the memory of plugins that run here is read when the metrics are asked for. */
    setPluginMemory: memory,
    ...storeMetrics(register),
    httpRequestDuration: register.histogram("http_request_duration_seconds", "HTTP requests", ["route"]),
    contentType: registry.contentType,
    /** @returns the exposition text of `/metrics` */
    render: (): Promise<string> => registry.metrics(),
  };
}

function mailMetrics(register: Registrar) {
  return {
    /** `result`: stored, relayed, duplicate, refused, deferred. One per recipient answer. */
    lmtpMessages: register.counter("lmtp_messages_total", "recipients answered after DATA", ["result"]),
    relayMaybeTwice: register.counter(
      "relay_maybe_twice_total",
      "relays of which nobody knows the end, by recipients, whose mail was relayed again: so many copies may be too many",
      [],
    ),
    lmtpDuration: register.histogram("lmtp_duration_seconds", "from DATA to the replies", []),
    imapCommands: register.counter("imap_commands_total", "IMAP commands", ["command", "result"]),
    imapDuration: register.histogram("imap_duration_seconds", "from an IMAP command to its tagged reply", [
      "command",
    ]),
    /** `listener`: dovecot, client. */
    imapConnections: register.gauge("imap_connections", "open IMAP connections", ["listener"]),
    /** `reason`: draining, total, clients, strangers, address. */
    imapRefused: register.counter(
      "imap_refused_connections_total",
      "IMAP connections refused or ended for others",
      ["listener", "reason"],
    ),
    /** `result`: ok, failed. */
    imapHandshakes: register.counter("imap_handshakes_total", "TLS handshakes of IMAP", ["result"]),
    imapLoginFailures: register.counter("imap_login_failures_total", "refused IMAP logins", []),
    /** `outcome`: refused (told by NO), cut (found in the middle of a literal). */
    imapUnreadable: register.counter("imap_unreadable_total", "messages that could not be read", ["outcome"]),
    lmtpConnections: register.gauge("lmtp_connections", "open LMTP connections", []),
    /** `decision`: accepted, refused, deferred, discarded (held here), failed (by our fault), aborted (by the MTA). */
    milterMessages: register.counter("milter_messages_total", "messages that the MTA asked about", [
      "direction",
      "decision",
    ]),
    milterDelay: register.histogram(
      "milter_added_delay_seconds",
      "from the end of a message to the answer to the MTA",
      [],
    ),
    milterConnections: register.gauge("milter_connections", "open milter connections", []),
    /** `fault`: what was wrong; the connection was closed. */
    milterProtocolErrors: register.counter("milter_protocol_errors_total", "malformed milter traffic", [
      "fault",
    ]),
  };
}

function outboxMetrics(register: Registrar) {
  return {
    /** `result`: taken, refused, waiting (tried again later), canceled. One per recipient and try. */
    outboxRecipients: register.counter("outbox_recipients_total", "what the MTA said of mail we sent", [
      "purpose",
      "result",
    ]),
    outboxUnknown: register.counter(
      "outbox_unknown_total",
      "mails sent again that may have been taken before",
      ["purpose"],
    ),
    outboxSubmitDuration: register.histogram(
      "outbox_submit_duration_seconds",
      "one try to hand mail over",
      [],
    ),
  };
}

function pluginMetrics(register: Registrar) {
  return {
    hookCalls: register.counter("hook_calls_total", "hook calls", ["hook", "plugin", "outcome"]),
    hookDuration: register.histogram("hook_duration_seconds", "hook calls", ["hook", "plugin"]),
    hookLastSuccess: register.gauge("hook_last_success_timestamp_seconds", "last good answer", [
      "hook",
      "plugin",
    ]),
    pluginCalls: register.counter("plugin_calls_total", "calls of a plugin", ["plugin"]),
    pluginDuration: register.histogram("plugin_duration_seconds", "calls of a plugin", ["plugin"]),
    pluginErrors: register.counter("plugin_errors_total", "failed calls of a plugin", ["plugin", "kind"]),
    /** 0 closed, 1 half-open, 2 open. */
    /** `method`: spf, dkim, dmarc, arc; `result`: RFC 8601 §2.7. */
    senderAuth: register.counter("sender_auth_total", "results of our checks of senders", [
      "method",
      "result",
    ]),
    pluginCircuitState: register.gauge("plugin_circuit_state", "0 closed, 1 half-open, 2 open", ["plugin"]),
    /** `item`: the name of the answer's item; `reason`: `cap`, or none for what the grant does not have. */
    pluginDeniedActions: register.counter("plugin_denied_actions_total", "items beyond the grant or a cap", [
      "plugin",
      "item",
      "reason",
    ]),
    /** `direction`: input, output. As the plugin reports it. */
    pluginTokens: register.counter("plugin_tokens_total", "tokens that plugins used", [
      "plugin",
      "direction",
    ]),
    pluginCost: register.counter("plugin_cost_usd_total", "what plugins cost, in US dollars", ["plugin"]),
    /** `field`: `compared` for each call, `differing` for each that would have made a difference, and what it would have been. */
    hookDiffs: register.counter("hook_diffs_total", "calls in shadow, compared with what was done", [
      "hook",
      "plugin",
      "field",
    ]),
    /** `limit`, `mechanism`: as in `core/ports/sandbox.ts`. 0: best effort, or not at all. */
    pluginLimitEnforced: register.gauge("plugin_limit_enforced", "1 where this host enforces the limit", [
      "plugin",
      "limit",
      "mechanism",
    ]),
    /** `kind`: as in `core/ports/alerts.ts`. */
    adminAlerts: register.counter("admin_alerts_total", "what administrators were told", ["kind"]),
  };
}

function storeMetrics(register: Registrar) {
  return {
    storeCommit: register.histogram("store_commit_seconds", "commits of stored messages", []),
    storeMessages: register.counter("store_messages_total", "messages stored", []),
    blobsRemoved: register.counter("blobs_removed_total", "blobs that no message had any more", []),
    blobsRemovedBytes: register.counter("blobs_removed_bytes_total", "their octets as stored", []),
    /** `kind`: as in the findings of `mairust scrub`. */
    scrubFindings: register.counter("scrub_findings_total", "what scrub found wrong", ["kind"]),
    blobBytes: register.counter("blob_bytes_total", "logical bytes of new blobs", []),
    /** `outcome`: complete, cut, failed. */
    searchTexts: register.counter("search_texts_total", "texts of messages made for search", ["outcome"]),
    /** `outcome`: complete, incomplete, failed. */
    imapTexts: register.counter("imap_texts_total", "messages indexed for IMAP's SEARCH", ["outcome"]),
  };
}

function registerComponents(registry: Registry, components: MetricsOptions["components"]): void {
  new Gauge({
    name: `${PREFIX}component_state`,
    help: "1 for the state that a component is in",
    labelNames: ["component", "state"],
    registers: [registry],
    collect() {
      this.reset();
      for (const { name, state } of components?.() ?? []) {
        for (const one of STATES) this.set({ component: name, state: one }, one === state ? 1 : 0);
      }
    },
  });
}

function registerJobs(registry: Registry, jobs: () => Promise<readonly JobGauges[]>): void {
  // Both are collected at the same time: one question answers both.
  let asked: Promise<readonly JobGauges[]> | undefined;
  const read = () => {
    asked ??= readJobs(jobs).finally(() => {
      asked = undefined;
    });
    return asked;
  };
  new Gauge({
    name: `${PREFIX}jobs`,
    help: "jobs by state",
    labelNames: ["queue", "state"],
    registers: [registry],
    async collect() {
      const counts = await read();
      this.reset();
      for (const { kind, state, count } of counts) this.set({ queue: kind, state }, count);
    },
  });
  new Gauge({
    name: `${PREFIX}job_age_seconds`,
    help: "how long the oldest due job waits",
    labelNames: ["queue"],
    registers: [registry],
    async collect() {
      const counts = await read();
      this.reset();
      // Of a kind of which none is due, too: 0.
      for (const { kind } of counts) {
        const ages = counts.filter(one => one.kind === kind).map(one => one.ageSeconds);
        this.set({ queue: kind }, Math.max(...ages));
      }
    },
  });
}

function registerHeld(registry: Registry, held: () => Promise<number>): void {
  new Gauge({
    name: `${PREFIX}held_messages`,
    help: "messages that wait for somebody's decision",
    registers: [registry],
    async collect() {
      // Without a database there is no figure, and an old one would be a lie.
      const count = await held().catch(() => undefined);
      this.reset();
      if (count === undefined) this.remove();
      else this.set(count);
    },
  });
}

function registerOutbox(registry: Registry, outbox: NonNullable<MetricsOptions["outbox"]>): void {
  new Gauge({
    name: `${PREFIX}outbox_queued`,
    help: "mails that wait to be handed to the MTA",
    labelNames: ["purpose"],
    registers: [registry],
    async collect() {
      const counts = await outbox().catch(() => new Map<string, number>());
      this.reset();
      for (const [purpose, count] of counts) this.set({ purpose }, count);
    },
  });
}

export interface PluginMemory {
  readonly plugin: string;
  readonly bytes: number;
}

/** @returns sets where the figures come from */
function registerPluginMemory(registry: Registry): (read: () => readonly PluginMemory[]) => void {
  const source: { read: () => readonly PluginMemory[] } = { read: () => [] };
  new Gauge({
    name: `${PREFIX}plugin_memory_bytes`,
    help: "memory of a plugin's processes that run here",
    labelNames: ["plugin"],
    registers: [registry],
    collect() {
      this.reset();
      for (const { plugin, bytes } of source.read()) this.set({ plugin }, bytes);
    },
  });
  return read => {
    source.read = read;
  };
}

function registerNetwork(registry: Registry, network: () => readonly EgressTraffic[]): void {
  new Counter({
    name: `${PREFIX}plugin_network_bytes`,
    help: "bytes of sandboxed plugins through their proxies",
    labelNames: ["plugin", "direction"],
    registers: [registry],
    collect() {
      this.reset();
      for (const { plugin, bytesUp, bytesDown } of network()) {
        this.inc({ plugin, direction: "up" }, bytesUp);
        this.inc({ plugin, direction: "down" }, bytesDown);
      }
    },
  });
}

/** Without a database there are no figures, and the others must still be seen. */
async function readJobs(jobs: () => Promise<readonly JobGauges[]>): Promise<readonly JobGauges[]> {
  try {
    return await jobs();
  } catch {
    return [];
  }
}

/** Makes metrics in one registry, all with the prefix. */
class Registrar {
  readonly #registers: Registry[];

  constructor(registry: Registry) {
    this.#registers = [registry];
  }

  counter<L extends string>(name: string, help: string, labelNames: readonly L[]): Counter<L> {
    return new Counter({
      name: PREFIX + name,
      help,
      labelNames: [...labelNames],
      registers: this.#registers,
    });
  }

  gauge<L extends string>(name: string, help: string, labelNames: readonly L[]): Gauge<L> {
    return new Gauge({ name: PREFIX + name, help, labelNames: [...labelNames], registers: this.#registers });
  }

  histogram<L extends string>(name: string, help: string, labelNames: readonly L[]): Histogram<L> {
    return new Histogram({
      name: PREFIX + name,
      help,
      labelNames: [...labelNames],
      buckets: SECONDS,
      registers: this.#registers,
    });
  }
}
