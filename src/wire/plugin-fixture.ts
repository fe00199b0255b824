/**
 * A fixture of a plugin, `fixtures/<name>.toml`: a message, where it meets the plugin, and the verdict that is expected. Beside it
 * stands the message, `<name>.eml`. What `[expect]` leaves out may be anything; what the core denied may not, unless it is named.
 */
import { type Static, Type } from "typebox";
import { ANSWER_ACTIONS } from "./answer.ts";
import { HOOK_POINTS } from "./config/hooks.ts";
import { permissionsSchema } from "./permissions.ts";

const closed = { additionalProperties: false } as const;
const MAX_TEXT = 65_536;
const MAX_LIST = 1000;

const text = (options: Record<string, unknown> = {}) => Type.String({ maxLength: MAX_TEXT, ...options });
const texts = (options: Record<string, unknown> = {}) =>
  Type.Array(text(), { maxItems: MAX_LIST, ...options });
/** Any table: what stands in it is checked by somebody else. */
const anyTable = Type.Record(Type.String({ pattern: "^" }), Type.Unknown());

export const OUTCOMES = ["ok", "timeout", "error", "malformed", "violation"] as const;

export const expectSchema = Type.Object(
  {
    outcome: Type.Optional(Type.Enum([...OUTCOMES], { description: "of the call; default ok" })),
    action: Type.Optional(Type.Enum([...ANSWER_ACTIONS])),
    code: Type.Optional(Type.Integer({ minimum: 400, maximum: 599 })),
    reply: Type.Optional(text({ description: "text of the SMTP reply" })),
    reason: Type.Optional(text()),
    explanation: Type.Optional(text()),
    tags: Type.Optional(texts({ description: "added, all of them, in any order" })),
    tags_removed: Type.Optional(texts()),
    flags: Type.Optional(texts()),
    folder: Type.Optional(text({ description: 'the folder; "" is none' })),
    metadata: Type.Optional(anyTable),
    headers: Type.Optional(texts({ description: 'added, all of them: "X-Name" or "X-Name: value"' })),
    append_text: Type.Optional(Type.Boolean()),
    bcc: Type.Optional(texts()),
    denied: Type.Optional(texts({ description: "items that the core dropped, all of them; default none" })),
  },
  closed,
);
export type Expected = Static<typeof expectSchema>;

export const fixtureSchema = Type.Object(
  {
    description: Type.Optional(text()),
    message: Type.Optional(text({ description: "file of the message; default <name>.eml" })),
    point: Type.Optional(Type.Enum([...HOOK_POINTS], { description: "default: the first of hooks.on" })),
    direction: Type.Optional(Type.Enum(["inbound", "outbound"])),
    tags: Type.Optional(texts({ description: "that the message has already" })),
    timeout_ms: Type.Optional(Type.Integer({ minimum: 1, maximum: 600_000 })),
    envelope: Type.Optional(
      Type.Object(
        {
          mail_from: Type.Optional(text()),
          rcpt_to: Type.Optional(texts({ minItems: 1 })),
          client_ip: Type.Optional(text()),
          client_name: Type.Optional(text()),
          helo: Type.Optional(text()),
          tls: Type.Optional(Type.Boolean()),
          auth_user: Type.Optional(text()),
          queue_id: Type.Optional(text()),
        },
        closed,
      ),
    ),
    grants: Type.Optional(permissionsSchema),
    settings: Type.Optional(anyTable),
    bcc: Type.Optional(texts({ description: "addresses that the administrator named" })),
    expect: Type.Optional(expectSchema),
  },
  closed,
);
export type FixtureFile = Static<typeof fixtureSchema>;
