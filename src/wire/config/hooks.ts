/** Configuration of plugins and hooks, as far as files set it. Part of `schema.ts`. */
import { Type } from "typebox";
import { permissionsSchema } from "../permissions.ts";
import { MAX_LIST, oneOf, plainText, text, texts, whole, yesNo } from "./leaf.ts";

const closed = { additionalProperties: false } as const;

export const HOOK_POINTS = ["pre_receive", "pre_delivery", "post_receive", "pre_send"] as const;
export const FAILURE_POLICIES = ["allow", "tempfail", "reject", "hold"] as const;

/** Longest `timeout_ms` of a hook that mail waits for (`mail-path`: synchronous points). */
export const MAX_SYNC_TIMEOUT_MS = 5000;
/** Longest `timeout_ms` of a `post_receive` hook. */
export const MAX_ASYNC_TIMEOUT_MS = 120_000;

/** Most addresses in `bcc` of one plugin, and the longest of them (RFC 5321 §4.5.3.1.3, without its brackets). */
export const MAX_BCC_ALLOWED = 100;
const MAX_BCC_ADDRESS = 254;

export const pluginsSection = Type.Object(
  {
    dir: text("/var/lib/mairust/plugins", "installed plugins; moves with data_dir", {
      format: "absolute_path",
    }),
    folders: texts([], "development folders, read as they are", { format: "absolute_path" }),
    enabled: Type.Union([Type.Boolean(), Type.Array(Type.String({ format: "plugin_id" }))], {
      default: true,
      description: "all, none, or only these ids; MAIRUST_PLUGINS_ENABLED=false|true|id,id sets it too",
    }),
    allow: texts([], "if set, only these ids may run", { format: "plugin_id" }),
    deny: texts([], "ids that may not run", { format: "plugin_id" }),
    allow_unsigned: texts([], "ids that may run without a valid signature", { format: "plugin_id" }),
    allow_unsandboxed: texts([], "ids that may run without a sandbox", { format: "plugin_id" }),
    require_limits: texts(
      [],
      'refuse plugins where these limits are not enforced, e.g. ["memory", "network"]',
    ),
    auto_approve: oneOf(["none", "headers"], "none", "grants that need no review"),
    user: text("mairust-plugin", "user that plugins run as"),
    uid_range: Type.Array(Type.Integer({ minimum: 1, maximum: 4_294_967_294 }), {
      default: [61_000, 61_999],
      minItems: 2,
      maxItems: 2,
      description: "first and last uid for tier 3, one per plugin",
    }),
    health_interval_s: whole(30, 1, 3600, "time between health checks of a plugin"),
  },
  { ...closed, description: "plugins" },
);

/** What {@link capKeys} name: actions of a plugin that are counted by the hour. */
export const CAPPED_ITEMS = ["reject", "tempfail", "hold", "move"] as const;
export const OVER_BUDGET = ["skip", "defer", "error"] as const;

const upTo = (maximum: number, description: string, minimum = 0) =>
  Type.Optional(Type.Integer({ minimum, maximum, description }));

/** As in a manifest: `[caps]` and `[budget]`. */
export const capKeys = {
  reject_per_hour: upTo(100_000_000, "messages that it may refuse in an hour"),
  tempfail_per_hour: upTo(100_000_000, "messages that it may defer in an hour"),
  hold_per_hour: upTo(100_000_000, "messages that it may hold in an hour"),
  move_per_hour: upTo(100_000_000, "messages that it may put into another folder in an hour"),
};
export const budgetKeys = {
  concurrency: upTo(1000, "calls at a time", 1),
  calls_per_day: upTo(1_000_000_000, "calls in a day, UTC"),
  tokens_per_day: upTo(1_000_000_000_000, "input and output tokens in a day, UTC, as it reports them"),
  over_budget: Type.Optional(
    Type.Enum([...OVER_BUDGET], {
      description: "skip: mail passes, marked as unchecked; defer: mail is deferred; error: on_error decides",
    }),
  ),
};

export const pluginSchema = Type.Object(
  {
    grants: permissionsSchema,
    settings: Type.Record(Type.String(), Type.Unknown(), {
      default: {},
      description: "values of its settings",
      // Some of them are secrets: what stands here instead of a table is not said in an error.
      secret: true,
    }),
    bcc: Type.Optional(
      Type.Array(Type.String({ format: "mail_address", maxLength: MAX_BCC_ADDRESS }), {
        maxItems: MAX_BCC_ALLOWED,
        description:
          "addresses that it may add as blind recipients; the grant add_recipients alone allows none",
        examples: [["archive@example.com"]],
      }),
    ),
    watch: Type.Optional(
      Type.Boolean({
        description: "of a development folder: reload the plugin when its files change",
        examples: [true],
      }),
    ),
    caps: Type.Optional(
      Type.Object(capKeys, {
        ...closed,
        description: "what it may do in an hour; of this and its manifest the lower number counts",
        examples: [{ reject_per_hour: 100, move_per_hour: 1000 }],
      }),
    ),
    budget: Type.Optional(
      Type.Object(budgetKeys, {
        ...closed,
        description: "what it may cost; of this and its manifest the lower number counts",
        examples: [{ calls_per_day: 10_000, tokens_per_day: 2_000_000, over_budget: "skip" }],
      }),
    ),
    endpoint: Type.Optional(
      plainText(
        "call it here instead of where its manifest says; private addresses and plain http are allowed then",
        {
          format: "plugin_endpoint",
          examples: ["http://10.0.0.5:8081/hook"],
        },
      ),
    ),
  },
  {
    ...closed,
    description: "grants, settings and endpoint of one plugin by file; locked in the web interface",
  },
);

export const pluginSection = Type.Record(Type.String(), pluginSchema, {
  default: {},
  description: "plugins by id",
  propertyNames: { format: "plugin_id" },
});

/** Patterns match the whole address, without case; an empty one matches everything. */
export const hookFilterSchema = Type.Object(
  {
    recipient: text("", "pattern for the recipient"),
    sender: text("", "pattern for the envelope sender"),
    domain: text("", "pattern for the recipient's domain"),
    direction: Type.Optional(Type.Enum(["inbound", "outbound"], { description: "only this direction" })),
    authenticated: Type.Optional(
      Type.Boolean({ description: "only mail of authenticated clients, or only of others" }),
    ),
    size_min_bytes: whole(0, 0, 2_147_483_647, "only messages of at least this size"),
    size_max_bytes: whole(0, 0, 2_147_483_647, "only messages of at most this size; 0: any"),
    header: Type.Record(Type.String(), Type.String(), {
      default: {},
      description: 'header fields that must match, name = pattern; "" = present',
    }),
    sample_percent: whole(100, 0, 100, "share of the messages, by a stable hash"),
  },
  { ...closed, description: "which messages" },
);

export const MAX_DEMOTE_WINDOW_S = 86_400;
export const DEMOTE_DEFAULTS = {
  errors_percent: 5,
  latency_ms: 0,
  disagreement_percent: 0,
  min_calls: 100,
  window_s: 300,
} as const;

export const demoteSchema = Type.Object(
  {
    errors_percent: whole(
      DEMOTE_DEFAULTS.errors_percent,
      0,
      100,
      "share of failed calls from which on it is demoted; 0: never",
    ),
    latency_ms: whole(
      DEMOTE_DEFAULTS.latency_ms,
      0,
      MAX_ASYNC_TIMEOUT_MS,
      "95 of 100 calls are faster, or it is demoted; 0: never",
    ),
    disagreement_percent: whole(
      DEMOTE_DEFAULTS.disagreement_percent,
      0,
      100,
      "in mode canary: share of the calls in shadow that would have made a difference; 0: never",
    ),
    min_calls: whole(DEMOTE_DEFAULTS.min_calls, 1, 1_000_000, "fewer calls in the window say nothing"),
    window_s: whole(
      DEMOTE_DEFAULTS.window_s,
      10,
      MAX_DEMOTE_WINDOW_S,
      "which calls count: those of the last seconds",
    ),
  },
  { ...closed, description: "when a hook in mode canary or enforce goes back to shadow by itself" },
);

export const hookSchema = Type.Object(
  {
    name: plainText("unique name", { format: "hook_name", examples: ["spam"] }),
    point: Type.Enum([...HOOK_POINTS], { description: "where in the mail path", examples: ["pre_delivery"] }),
    plugin: plainText("id of the plugin that is called", {
      format: "plugin_id",
      examples: ["com.example.mairust.spam-filter"],
    }),
    priority: whole(100, 0, 1_000_000, "lower ones run first"),
    mode: oneOf(["shadow", "canary", "enforce"], "shadow", "recorded only, applied to a part, applied"),
    canary_percent: whole(10, 0, 100, "share of the messages in mode canary, unless canary_for names whose"),
    canary_for: texts(
      [],
      "accounts and domains whose mail is meant in mode canary, instead of a share; at pre_send those of senders",
      { format: "account_or_domain", examples: ["user@example.com", "example.com"] },
    ),
    demote: demoteSchema,
    timeout_ms: whole(
      2000,
      1,
      MAX_ASYNC_TIMEOUT_MS,
      "one call; at most 5000 unless the point is post_receive",
    ),
    on_timeout: oneOf(FAILURE_POLICIES, "tempfail", "when the call takes too long"),
    on_error: oneOf(FAILURE_POLICIES, "tempfail", "when the call fails"),
    late: oneOf(["drop", "apply"], "drop", "an answer after the time-out"),
    late_timeout_ms: whole(60_000, 1, 600_000, "how long a late answer is waited for"),
    per_recipient: yesNo(true, "false: one call per transaction and domain, for all its recipients in scope"),
    parallel: yesNo(false, "run together with others of the same priority that say so too"),
    enabled: yesNo(true, "false: the hook is kept but not run"),
    filter: hookFilterSchema,
  },
  { ...closed, description: "a hook by file" },
);

export const hooksSection = Type.Array(hookSchema, {
  default: [],
  maxItems: MAX_LIST,
  description: "hooks by file",
});
