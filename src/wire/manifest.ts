/**
 * `plugin.toml`: every table and key, as a schema. What goes beyond shapes (which keys a transport needs, prerequisites
 * of permissions, time-outs at synchronous points) is checked in `plugins/manifest-rules.ts`.
 * The keyword `allowed` is ours: the text that an error shows for "what is allowed".
 */
import { type Static, type TSchema, Type } from "typebox";
import { budgetKeys, capKeys, FAILURE_POLICIES, HOOK_POINTS, MAX_ASYNC_TIMEOUT_MS } from "./config/hooks.ts";
import { PERMISSION_NAMES, permissionsSchema } from "./permissions.ts";

const closed = { additionalProperties: false } as const;
/** Longest text of any key, in UTF-16 units; every list holds at most {@link MAX_MANIFEST_LIST} elements. */
export const MAX_MANIFEST_TEXT = 4096;
export const MAX_MANIFEST_LIST = 100;

const text = (options: Record<string, unknown> = {}) =>
  Type.String({ maxLength: MAX_MANIFEST_TEXT, ...options });
const list = <T extends TSchema>(items: T, options: Record<string, unknown> = {}) =>
  Type.Array(items, { maxItems: MAX_MANIFEST_LIST, ...options });
const whole = (minimum: number, maximum: number) => Type.Integer({ minimum, maximum });

export const PLUGIN_ID_PATTERN = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+$";
export const MAX_PLUGIN_ID = 128;
/** Semantic Versioning 2.0.0 §2, §9, §10. */
export const SEMVER_PATTERN =
  "^(0|[1-9][0-9]*)\\.(0|[1-9][0-9]*)\\.(0|[1-9][0-9]*)(-[0-9A-Za-z-]+(\\.[0-9A-Za-z-]+)*)?(\\+[0-9A-Za-z.-]+)?$";
/** A version, or one whose last parts are `x`: `0.5.x`, `1.x`. */
export const VERSION_CEILING_PATTERN =
  "^((0|[1-9][0-9]*)(\\.(0|[1-9][0-9]*))?\\.x|(0|[1-9][0-9]*)(\\.(0|[1-9][0-9]*)){2})$";
export const DEPENDENCY_PATTERN =
  "^[a-z0-9][a-z0-9.-]{0,127}(\\s*(>=|<=|>|<|=)\\s*[0-9]+\\.[0-9]+\\.[0-9]+(\\s*,\\s*(>=|<=|>|<|=)\\s*[0-9]+\\.[0-9]+\\.[0-9]+)*)?$";
/** Names of settings, actions and jobs. */
const KEY_NAME = "^[a-z][a-z0-9_]{0,63}$";

export const PROTOCOLS = ["http", "unix", "script", "grpc", "wasm", "container", "mta-hooks"] as const;
export const SETTING_TYPES = ["string", "number", "integer", "boolean", "enum", "url", "secret"] as const;
export const NETWORKS = ["none", "local-only", "outbound-limited", "unlimited"] as const;

const semver = Type.String({
  pattern: SEMVER_PATTERN,
  maxLength: 64,
  allowed: 'a semantic version such as "1.0.0"',
});
const command = list(text({ minLength: 1 }), {
  minItems: 1,
  allowed: 'a list such as ["python3", "main.py"]',
});

/** Keys of `[hooks]` that `[hooks.<point>]` may override. */
const hookKeys = {
  priority: Type.Optional(whole(0, 1_000_000)),
  timeout_ms: Type.Optional(whole(1, MAX_ASYNC_TIMEOUT_MS)),
  on_timeout: Type.Optional(Type.Enum([...FAILURE_POLICIES])),
  on_error: Type.Optional(Type.Enum([...FAILURE_POLICIES])),
  on_violation: Type.Optional(Type.Enum(["drop", "error"])),
  filter_recipient_matches: Type.Optional(text()),
  filter_sender_matches: Type.Optional(text()),
  per_recipient: Type.Optional(Type.Boolean()),
  parallel: Type.Optional(Type.Boolean()),
  late: Type.Optional(Type.Enum(["drop", "apply"])),
  late_timeout_ms: Type.Optional(whole(1, 600_000)),
};
const hookOverride = Type.Object(hookKeys, closed);
export type ManifestHookKeys = Static<typeof hookOverride>;

const settingValue = Type.Union([text(), Type.Number(), Type.Boolean()], {
  allowed: "a text, number or boolean",
});
export const settingSchema = Type.Object(
  {
    type: Type.Enum([...SETTING_TYPES]),
    default: Type.Optional(settingValue),
    min: Type.Optional(Type.Number()),
    max: Type.Optional(Type.Number()),
    /** Of an `enum`. */
    values: Type.Optional(list(text(), { minItems: 1 })),
    description: Type.Optional(text()),
  },
  closed,
);
export type SettingSchema = Static<typeof settingSchema>;

const named = <T extends TSchema>(value: T) =>
  Type.Record(Type.String({ pattern: KEY_NAME }), value, {
    maxProperties: MAX_MANIFEST_LIST,
    allowedKeys: "[a-z][a-z0-9_]*",
  });

export const manifestSchema = Type.Object(
  {
    id: Type.String({
      pattern: PLUGIN_ID_PATTERN,
      maxLength: MAX_PLUGIN_ID,
      allowed: "a reverse DNS name such as com.example.spam-filter",
    }),
    name: text({ minLength: 1 }),
    version: semver,
    author: Type.Optional(text()),
    description: Type.Optional(text()),
    license: Type.Optional(text()),
    homepage: Type.Optional(text({ pattern: "^https?://", allowed: "an http:// or https:// URL" })),
    source: Type.Optional(text({ pattern: "^https?://", allowed: "an http:// or https:// URL" })),
    depends: Type.Optional(
      list(Type.String({ pattern: DEPENDENCY_PATTERN, allowed: '"other.plugin.id>=1.2.0"' })),
    ),
    compat: Type.Optional(
      Type.Object(
        {
          mairust_min: Type.Optional(semver),
          mairust_max: Type.Optional(
            Type.String({ pattern: VERSION_CEILING_PATTERN, allowed: '"0.5.x" or "0.5.2"' }),
          ),
          api: Type.Optional(
            Type.String({ pattern: "^[0-9]{1,4}$", allowed: 'a wire contract version such as "1"' }),
          ),
        },
        closed,
      ),
    ),
    entry: Type.Object(
      {
        type: Type.Enum(["hook", "service", "ui"]),
        protocol: Type.Optional(Type.Enum([...PROTOCOLS])),
        endpoint: Type.Optional(text()),
        command: Type.Optional(command),
        module: Type.Optional(text({ pattern: "\\.wasm$", allowed: "a .wasm file" })),
        mode: Type.Optional(Type.Enum(["worker", "spawn"])),
        workers: Type.Optional(whole(1, 16)),
        health_endpoint: Type.Optional(text()),
        health_cmd: Type.Optional(
          Type.Union([text({ minLength: 1 }), command], { allowed: "a command or a list of its words" }),
        ),
        callback_api: Type.Optional(Type.Boolean()),
      },
      closed,
    ),
    hooks: Type.Optional(
      Type.Object(
        {
          on: list(Type.Enum([...HOOK_POINTS]), { minItems: 1 }),
          ...hookKeys,
          pre_receive: Type.Optional(hookOverride),
          pre_delivery: Type.Optional(hookOverride),
          post_receive: Type.Optional(hookOverride),
          pre_send: Type.Optional(hookOverride),
        },
        closed,
      ),
    ),
    permissions: Type.Optional(permissionsSchema),
    permission_notes: Type.Optional(
      Type.Object(Object.fromEntries(PERMISSION_NAMES.map(name => [name, Type.Optional(text())])), closed),
    ),
    limits: Type.Optional(
      Type.Object(
        {
          cpu_ms: Type.Optional(whole(1, 600_000)),
          memory_mb: Type.Optional(whole(1, 1_048_576)),
          wall_time_ms: Type.Optional(whole(1, 600_000)),
          network: Type.Optional(Type.Enum([...NETWORKS])),
          network_allow: Type.Optional(
            list(
              Type.String({
                pattern: "^(\\*\\.)?[A-Za-z0-9.:\\[\\]-]{1,255}:[0-9]{1,5}$",
                allowed: '"host:port"',
              }),
            ),
          ),
          persistent_dir: Type.Optional(Type.Boolean()),
        },
        closed,
      ),
    ),
    caps: Type.Optional(Type.Object(capKeys, closed)),
    budget: Type.Optional(Type.Object(budgetKeys, closed)),
    settings: Type.Optional(named(settingSchema)),
    api: Type.Optional(
      Type.Object(
        {
          endpoint: text(),
          scopes: Type.Optional(
            list(Type.String({ pattern: "^[a-z0-9_-]+:[a-z0-9_-]+$", allowed: '"report:read"' })),
          ),
          openapi: Type.Optional(text()),
        },
        closed,
      ),
    ),
    events: Type.Optional(
      Type.Object(
        { on: list(Type.String({ pattern: "^[a-z]+\\.[a-z]+$", allowed: '"message.updated"' })) },
        closed,
      ),
    ),
    actions: Type.Optional(named(Type.Object({ title: text({ minLength: 1 }) }, closed))),
    jobs: Type.Optional(
      named(
        Type.Object(
          {
            title: text({ minLength: 1 }),
            parallelizable: Type.Optional(Type.Boolean()),
            cancelable: Type.Optional(Type.Boolean()),
            downloadable: Type.Optional(Type.Boolean()),
            schedule: Type.Optional(
              Type.String({
                pattern: "^\\S+( \\S+){4}$",
                maxLength: 128,
                allowed: 'five cron fields such as "0 6 1 * *"',
              }),
            ),
          },
          closed,
        ),
      ),
    ),
    ui: Type.Optional(
      Type.Object(
        {
          bundle: text({ pattern: "\\.(html|js)$", allowed: "an .html or .js file" }),
          panels: Type.Optional(list(Type.Enum(["message", "dashboard"]))),
        },
        closed,
      ),
    ),
    logging: Type.Optional(
      Type.Object(
        {
          level: Type.Optional(Type.Enum(["trace", "debug", "info", "warn", "error"])),
          format: Type.Optional(Type.Enum(["json", "text"])),
        },
        closed,
      ),
    ),
  },
  { ...closed, $id: "plugin-1.schema.json", title: "plugin.toml" },
);

export type Manifest = Static<typeof manifestSchema>;
