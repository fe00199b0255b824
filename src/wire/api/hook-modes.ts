/** REST resources `/api/v1/admin/hooks/{name}/promote` and `/diffs`, `/api/v1/admin/bypass`, `/api/v1/admin/plugin-usage`. */
import { type Static, Type } from "typebox";
import { closed, nullable, timestamp } from "./common.ts";
import { hookBody } from "./hooks.ts";

const hookPath = Type.Object({ name: Type.String({ minLength: 1, maxLength: 64 }) });
const pluginId = Type.String({ minLength: 1, maxLength: 128 });

export const promotedBody = Type.Object(
  {
    hook: hookBody,
    from: Type.String(),
    to: Type.String(),
    figures: Type.Object(
      {
        calls: Type.Integer(),
        errors: Type.Integer(),
        slow: Type.Integer(),
        compared: Type.Integer(),
        differing: Type.Integer(),
      },
      { ...closed, description: "of all nodes, in the window of demote.window_s" },
    ),
    against: Type.Array(Type.String(), {
      description: "what the figures say against it; empty unless forced",
    }),
  },
  closed,
);
export type PromotedBody = Static<typeof promotedBody>;

export const diffBody = Type.Object(
  {
    at: timestamp,
    point: Type.String(),
    plugin: Type.String(),
    call_id: Type.String(),
    message_id: Type.String(),
    queue_id: Type.String(),
    recipient: Type.String(),
    differences: Type.Array(
      Type.Object({ field: Type.String(), would: Type.String(), was: Type.String() }, closed),
    ),
  },
  closed,
);
export type DiffBody = Static<typeof diffBody>;

export const diffsBody = Type.Object(
  {
    hook: Type.String(),
    counts: Type.Record(Type.String(), Type.Integer(), {
      description: "of the last 24 hours: compared, differing, and the fields that would have been otherwise",
    }),
    items: Type.Array(diffBody, { description: "newest first" }),
    next_cursor: Type.Null(),
  },
  closed,
);
export type DiffsBody = Static<typeof diffsBody>;

export const bypassBody = Type.Object(
  {
    plugin: nullable(Type.String({ description: "null: all plugins" })),
    until: nullable(timestamp),
    by: Type.String(),
    at: timestamp,
  },
  closed,
);
export type BypassBody = Static<typeof bypassBody>;

const bypassList = Type.Object({ items: Type.Array(bypassBody), next_cursor: Type.Null() }, closed);

const most = nullable(Type.Integer());
export const allowanceBody = Type.Object(
  {
    plugin: Type.String(),
    concurrency: most,
    calls_per_day: most,
    tokens_per_day: most,
    over_budget: nullable(Type.String()),
    caps: Type.Array(
      Type.Object({ item: Type.String(), per_hour: Type.Integer(), used: Type.Integer() }, closed),
    ),
  },
  closed,
);
export type AllowanceBody = Static<typeof allowanceBody>;

export const usageBody = Type.Object(
  {
    plugin: Type.String(),
    day: Type.String({ description: "UTC" }),
    calls: Type.Integer(),
    input_tokens: Type.Number(),
    output_tokens: Type.Number(),
    cost_usd: Type.Number(),
  },
  closed,
);
export type UsageBody = Static<typeof usageBody>;

export const usageListBody = Type.Object(
  { items: Type.Array(usageBody), allowances: Type.Array(allowanceBody), next_cursor: Type.Null() },
  closed,
);
export type UsageListBody = Static<typeof usageListBody>;

const dryRun = { dry_run: Type.Optional(Type.Boolean()) };
const bypassQuery = Type.Object({ plugin: Type.Optional(pluginId), ...dryRun }, closed);

export const hookModeRoutes = {
  promote: {
    params: hookPath,
    querystring: Type.Object(
      { dry_run: Type.Optional(Type.Boolean()), force: Type.Optional(Type.Boolean()) },
      closed,
    ),
    response: { 200: promotedBody },
  },
  diffs: {
    params: hookPath,
    querystring: Type.Object({ limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 100 })) }, closed),
    response: { 200: diffsBody },
  },
  bypasses: { response: { 200: bypassList } },
  startBypass: {
    body: Type.Object(
      { plugin: Type.Optional(pluginId), for_s: Type.Optional(Type.Integer({ minimum: 1 })) },
      closed,
    ),
    querystring: Type.Object(dryRun, closed),
    response: { 200: bypassList },
  },
  endBypass: { querystring: bypassQuery, response: { 200: bypassList } },
  usage: {
    querystring: Type.Object(
      {
        plugin: Type.Optional(pluginId),
        days: Type.Optional(Type.Integer({ minimum: 1, maximum: 366 })),
      },
      closed,
    ),
    response: { 200: usageListBody },
  },
} as const;
