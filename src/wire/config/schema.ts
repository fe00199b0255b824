/**
 * The one schema of the configuration. Every key of the file, its type, its bounds, its default and its description stand
 * here and nowhere else; loading, `config show`, the reference page and the JSON Schema for editors are all made from it.
 * Keys are `snake_case` exactly as in the file: the file is the contract.
 */
import { type Static, Type } from "typebox";
import { type hookSchema, hooksSection, pluginSection, pluginsSection } from "./hooks.ts";
import { someOf, text, whole } from "./leaf.ts";
import {
  defaultsSection,
  type domainSchema,
  domainsSection,
  editsSection,
  holdSection,
  imapSection,
  lmtpSection,
  milterSection,
  outboundSection,
  senderAuthSection,
} from "./mail.ts";
import {
  alertsSection,
  apiSection,
  blobsSection,
  databaseSection,
  limitsSection,
  logSection,
  lossProofSection,
  metricsSection,
  otelSection,
  queueSection,
  retentionSection,
  tlsSection,
} from "./service.ts";

export const ROLES = ["milter", "lmtp", "imap", "api", "worker"] as const;
export type Role = (typeof ROLES)[number];

export const configSchema = Type.Object(
  {
    data_dir: text("/var/lib/mairust", "embedded database, blobs, plugins, spool", {
      format: "absolute_path",
    }),
    runtime_dir: text("/run/mairust", "sockets; keep it short, a UNIX socket path has at most 107 bytes", {
      format: "absolute_path",
    }),
    log_dir: text("/var/log/mairust", "log files of plugins", { format: "absolute_path" }),
    hostname: text("", "our name in Received and greetings; empty: the host's name", {
      format: "host_name",
      examples: ["mail.example.com"],
    }),
    key_file: text(
      "/etc/mairust/master.key",
      "made at first start, mode 0600: encrypts secrets, signs trace fields",
      {
        format: "absolute_path",
      },
    ),
    drain_timeout_s: whole(30, 0, 3600, "how long running work may take to finish when the service stops"),
    roles: someOf(ROLES, ROLES, "what this process does; left out: everything"),
    database: databaseSection,
    blobs: blobsSection,
    milter: milterSection,
    lmtp: lmtpSection,
    imap: imapSection,
    api: apiSection,
    tls: tlsSection,
    sender_auth: senderAuthSection,
    limits: limitsSection,
    hold: holdSection,
    edits: editsSection,
    retention: retentionSection,
    queue: queueSection,
    defaults: defaultsSection,
    domains: domainsSection,
    plugins: pluginsSection,
    plugin: pluginSection,
    hooks: hooksSection,
    outbound: outboundSection,
    alerts: alertsSection,
    metrics: metricsSection,
    log: logSection,
    loss_proof: lossProofSection,
    otel: otelSection,
  },
  { additionalProperties: false, title: "mairust.toml", description: "configuration of mairust" },
);

/** Every property, at every depth, read-only. */
export type DeepReadonly<T> = T extends (infer E)[]
  ? readonly DeepReadonly<E>[]
  : T extends object
    ? { readonly [K in keyof T]: DeepReadonly<T[K]> }
    : T;

/** The effective configuration: all keys present, but the ones without a default (`database.url`, `relay.lmtp`, two of a filter). */
export type Config = DeepReadonly<Static<typeof configSchema>>;
export type DomainConfig = DeepReadonly<Static<typeof domainSchema>>;
export type HookConfig = DeepReadonly<Static<typeof hookSchema>>;
export type HookFilterConfig = HookConfig["filter"];
