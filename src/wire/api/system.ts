/** REST resources of the service itself: health, components, configuration, reload. */
import { type Static, Type } from "typebox";
import { changeQuery, closed } from "./common.ts";

export const readinessBody = Type.Object(
  {
    ready: Type.Boolean(),
    checks: Type.Array(
      Type.Object(
        {
          name: Type.String(),
          status: Type.Enum(["ok", "degraded", "error"]),
          reason: Type.String(),
        },
        closed,
      ),
    ),
  },
  closed,
);
export type ReadinessBody = Static<typeof readinessBody>;

export const componentBody = Type.Object(
  {
    name: Type.String(),
    version: Type.String(),
    description: Type.String(),
    type: Type.String(),
    state: Type.String(),
  },
  closed,
);
export type ComponentBody = Static<typeof componentBody>;

export const configKeyBody = Type.Object(
  { key: Type.String(), value: Type.Unknown(), origin: Type.String() },
  closed,
);
export type ConfigKeyBody = Static<typeof configKeyBody>;

export const reloadBody = Type.Object(
  { applied: Type.Array(Type.String()), need_restart: Type.Array(Type.String()) },
  closed,
);
export type ReloadBody = Static<typeof reloadBody>;

const itemsOf = <S extends typeof componentBody | typeof configKeyBody>(item: S) =>
  Type.Object({ items: Type.Array(item), next_cursor: Type.Null() }, closed);

export const systemRoutes = {
  livez: {},
  readyz: { response: { 200: readinessBody, 503: readinessBody } },
  components: { response: { 200: itemsOf(componentBody) } },
  config: { response: { 200: itemsOf(configKeyBody) } },
  reload: { querystring: changeQuery, response: { 200: reloadBody } },
} as const;
