/** REST resource `/api/v1/admin/plugins/{id}/settings`. */
import { type Static, Type } from "typebox";
import { SETTING_TYPES } from "../manifest.ts";
import { changeQuery, closed, nullable } from "./common.ts";

const value = Type.Union([Type.String({ maxLength: 65_536 }), Type.Number(), Type.Boolean(), Type.Null()]);

export const settingBody = Type.Object(
  {
    key: Type.String(),
    type: Type.Enum([...SETTING_TYPES]),
    value: { ...value, description: "in effect; null: none, or a secret, which is never given out" },
    is_set: Type.Boolean(),
    origin: Type.Enum(["file", "database", "default", "none"]),
    where: nullable(Type.String({ description: "of one that a file sets" })),
    description: nullable(Type.String({ description: "the author's text" })),
    allowed: Type.String(),
    problem: nullable(Type.String({ description: "why a secret that was set cannot be used" })),
  },
  closed,
);
export type SettingBody = Static<typeof settingBody>;

export const pluginSettingsBody = Type.Object(
  { plugin: Type.String(), version: Type.Integer(), settings: Type.Array(settingBody) },
  closed,
);
export type PluginSettingsBody = Static<typeof pluginSettingsBody>;

const params = Type.Object({ id: Type.String({ minLength: 1, maxLength: 128 }) });

export const pluginSettingsRoutes = {
  show: { params, response: { 200: pluginSettingsBody } },
  change: {
    params,
    querystring: changeQuery,
    body: Type.Record(Type.String({ minLength: 1, maxLength: 64 }), value, { maxProperties: 100 }),
    response: { 200: pluginSettingsBody },
  },
} as const;
