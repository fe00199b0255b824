/** REST resource `/api/v1/admin/hooks`. */
import { type Static, Type } from "typebox";
import { hookSchema } from "../config/hooks.ts";
import { changeQuery, closed, nullable, pageOf, timestamp } from "./common.ts";

export const HOOK_ORIGINS = ["file", "database", "manifest"] as const;
export const HOOK_STATES = [
  "active",
  "disabled",
  "off",
  "refused",
  "circuit_open",
  "bypassed",
  "demoted",
  "shadowed",
] as const;

export const hookBody = Type.Object(
  {
    ...hookSchema.properties,
    origin: Type.Enum([...HOOK_ORIGINS]),
    effective_mode: Type.Enum(["shadow", "canary", "enforce"], {
      description: "shadow while it is demoted, whatever its mode",
    }),
    where: nullable(Type.String({ description: "of a hook by file: file:line:column" })),
    state: Type.Enum([...HOOK_STATES]),
    reason: nullable(Type.String({ description: "why it is not active, or not called" })),
    notes: Type.Array(Type.String()),
    version: nullable(Type.Integer({ description: "of a hook by command, for If-Match" })),
    created_at: nullable(timestamp),
    updated_at: nullable(timestamp),
    calls: Type.Record(Type.String(), Type.Integer(), {
      description: "of this process since its start, by outcome",
    }),
    diffs: Type.Record(Type.String(), Type.Integer(), {
      description:
        "of this process since its start: calls in shadow that were compared, those that would have made a difference, and in what",
    }),
  },
  closed,
);
export type HookBody = Static<typeof hookBody>;

/** Checked by the schema of `[[hooks]]` and not here, so that all problems come at once. */
const keys = Type.Record(Type.String(), Type.Unknown());

export const hookTestBody = Type.Object(
  {
    hook: Type.String(),
    plugin: Type.String(),
    point: Type.String(),
    call_id: Type.String({ description: "as in the ledger" }),
    matches: Type.Boolean({ description: "the hook's filter lets the message through" }),
    outcome: Type.String(),
    ms: Type.Number(),
    fields: Type.Array(Type.String(), { description: "what left, beyond the envelope of every call" }),
    bytes: Type.Integer(),
    verdict: nullable(Type.String()),
    reply: nullable(Type.Object({ code: Type.Integer(), text: Type.String() }, closed)),
    reason: nullable(Type.String()),
    explanation: nullable(Type.String()),
    tags: Type.Object({ add: Type.Array(Type.String()), remove: Type.Array(Type.String()) }, closed),
    folder: nullable(Type.String()),
    denied: Type.Array(Type.Object({ item: Type.String(), why: Type.String() }, closed)),
    problem: nullable(Type.String()),
    policy: nullable(Type.String({ description: "what the hook's policy makes of the failure" })),
  },
  closed,
);
export type HookTestBody = Static<typeof hookTestBody>;

const hookPath = Type.Object({ name: Type.String({ minLength: 1, maxLength: 64 }) });
const address = Type.String({ maxLength: 1000 });

export const hookRoutes = {
  list: { response: { 200: pageOf(hookBody) } },
  get: { params: hookPath, response: { 200: hookBody } },
  add: { body: keys, querystring: changeQuery, response: { 200: hookBody, 201: hookBody } },
  change: { params: hookPath, body: keys, querystring: changeQuery, response: { 200: hookBody } },
  mode: {
    params: hookPath,
    body: Type.Object(
      {
        mode: Type.Unknown(),
        canary_percent: Type.Optional(Type.Unknown()),
        canary_for: Type.Optional(Type.Unknown()),
      },
      closed,
    ),
    querystring: changeQuery,
    response: { 200: hookBody },
  },
  remove: { params: hookPath, querystring: changeQuery, response: { 200: hookBody } },
  order: {
    body: Type.Object(
      {
        hooks: Type.Array(
          Type.Object(
            { name: Type.String(), priority: Type.Integer(), version: Type.Integer({ minimum: 1 }) },
            closed,
          ),
          { minItems: 1, maxItems: 1000 },
        ),
      },
      closed,
    ),
    querystring: changeQuery,
    response: { 200: pageOf(hookBody) },
  },
  /** The body is a message, or `{"message": id}`, or `{"sample": true}`. */
  test: {
    params: hookPath,
    querystring: Type.Object(
      {
        from: Type.Optional(address),
        to: Type.Optional(Type.String({ maxLength: 20_000, description: "addresses, separated by commas" })),
        direction: Type.Optional(Type.Enum(["inbound", "outbound"])),
      },
      closed,
    ),
    response: { 200: hookTestBody },
  },
} as const;
