/**
 * Settings of plugins in PostgreSQL (`migrations/0009_audit_settings.sql`): plain ones as JSON, secret ones encrypted, each for its
 * plugin and key (`platform/sealed.ts`). One row for each plugin is what changes take turns at.
 */
import { StaleVersion } from "../core/errors.ts";
import type { SettingValues } from "../core/hook-plugin.ts";
import {
  NO_SETTINGS,
  NO_SETTINGS_VERSION,
  type PluginSettings,
  type SettingChange,
  type StoredSettings,
} from "../core/ports/plugin-settings.ts";
import { type KeyRing, openWith, seal } from "../platform/sealed.ts";
import { type Db, json, type Queryable } from "./db.ts";
import { holdKeys } from "./key-lock.ts";

interface SettingsRow {
  readonly plugin_id: string;
  readonly plain: SettingValues;
  readonly version: number;
}

interface SecretRow {
  readonly plugin_id: string;
  readonly key: string;
  readonly key_id: string;
  readonly sealed: Buffer;
}

type Changes = ReadonlyMap<string, SettingChange>;

export function createPluginSettings(db: Db, keys: KeyRing): PluginSettings {
  return {
    all: () => readAll(db, keys),
    changed,
    async put(pluginId, changes, version) {
      await db.begin(async tx => {
        await holdKeys(tx);
        await claim(tx, pluginId, version);
        await removeChanged(tx, pluginId, changes);
        await insertChanged(tx, keys, pluginId, changes);
      });
      return (await readAll(db, keys)).get(pluginId) ?? NO_SETTINGS;
    },
  };
}

/** What a sealed setting belongs to: never what a sealed secret of `plugin_secrets` does. */
export function ownerOfSetting(pluginId: string, key: string): string {
  return `${pluginId}\nsetting\n${key}`;
}

/** Secrets are JSON texts, so that an empty one can be told from none. */
function sealValue(keys: KeyRing, pluginId: string, key: string, value: unknown) {
  const current = keys.current();
  const sealed = seal(current, Buffer.from(JSON.stringify(value)), ownerOfSetting(pluginId, key));
  return { keyId: current.id, sealed };
}

async function readAll(db: Db, keys: KeyRing): Promise<ReadonlyMap<string, StoredSettings>> {
  const { rows, sealed } = await db.begin(
    async tx => ({
      rows: await tx.query<SettingsRow>`select plugin_id, plain, version from plugin_settings order by plugin_id`,
      sealed:
        await tx.query<SecretRow>`select plugin_id, key, key_id, sealed from plugin_setting_secrets order by plugin_id, key`,
    }),
    { isolation: "repeatable read" },
  );
  const secretsOf = (id: string) => sealed.filter(row => row.plugin_id === id);
  return new Map(rows.map(row => [row.plugin_id, toSettings(row, secretsOf(row.plugin_id), keys)]));
}

function toSettings(
  { plugin_id: pluginId, plain, version }: SettingsRow,
  sealed: readonly SecretRow[],
  keys: KeyRing,
): StoredSettings {
  const values: Record<string, string | number | boolean> = { ...plain };
  const unreadable = new Map<string, string>();
  for (const row of sealed) {
    const opened = openWith(keys, row.key_id, row.sealed, ownerOfSetting(pluginId, row.key));
    if ("plain" in opened) values[row.key] = JSON.parse(Buffer.from(opened.plain).toString("utf8"));
    else unreadable.set(row.key, opened.why);
  }
  return { values, secrets: new Set(sealed.map(({ key }) => key)), unreadable, version };
}

/** One change at a time, and none over what the caller has not seen. */
async function claim(tx: Queryable, pluginId: string, version: number): Promise<void> {
  const rows =
    version === NO_SETTINGS_VERSION
      ? await tx.run`
          insert into plugin_settings (plugin_id, version) values (${pluginId}, ${version + 1})
          on conflict (plugin_id) do nothing`
      : await tx.run`
          update plugin_settings set version = version + 1, updated_at = now()
          where plugin_id = ${pluginId} and version = ${version}`;
  if (rows === 0) throw new StaleVersion("settings of plugin", pluginId);
}

/** Whatever stood under the keys is gone, also where a setting has become a secret, or the other way round. */
async function removeChanged(tx: Queryable, pluginId: string, changes: Changes): Promise<void> {
  const names = [...changes.keys()];
  await tx.run`update plugin_settings set plain = plain - ${names}::text[] where plugin_id = ${pluginId}`;
  await tx.run`delete from plugin_setting_secrets where plugin_id = ${pluginId} and key = any(${names}::text[])`;
}

async function insertChanged(
  tx: Queryable,
  keys: KeyRing,
  pluginId: string,
  changes: Changes,
): Promise<void> {
  const plain: Record<string, unknown> = {};
  for (const [name, { value, secret }] of changes) {
    if (value === undefined) continue;
    if (!secret) plain[name] = value;
    else {
      const { keyId, sealed } = sealValue(keys, pluginId, name, value);
      await tx.run`
        insert into plugin_setting_secrets (plugin_id, key, key_id, sealed) values (${pluginId}, ${name}, ${keyId}, ${sealed})`;
    }
  }
  await tx.run`update plugin_settings set plain = plain || ${json(plain)}::jsonb where plugin_id = ${pluginId}`;
}

function changed(before: StoredSettings, changes: Changes): StoredSettings {
  const values = { ...before.values };
  const secrets = new Set(before.secrets);
  const unreadable = new Map(before.unreadable);
  for (const [name, { value, secret }] of changes) {
    delete values[name];
    secrets.delete(name);
    unreadable.delete(name);
    if (value === undefined) continue;
    values[name] = value;
    if (secret) secrets.add(name);
  }
  return { values, secrets, unreadable, version: before.version + 1 };
}
