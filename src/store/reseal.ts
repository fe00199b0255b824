/**
 * Replaces the master key under everything that is sealed in the database: a new key file is made, all records are sealed again in one
 * transaction, and only when that is durable does the new file take the place of the old one. Interrupted anywhere, the next start
 * looks at the records and goes on, or takes the new file away again; no record is ever without its key.
 *
 *   new file is there → [records sealed again, committed] → derived keys that live on are written → the new file is renamed
 *
 * Failures: `plugin_security`: a record that cannot be opened now, so that nothing is changed; `store_unavailable`: whether the commit
 * took place may be unknown; both keys are kept then, and the next start, or the next rotation, finds out.
 */
import { PluginSecurityError } from "../core/errors.ts";
import type { Log } from "../core/ports/log.ts";
import type { MasterKey, PromotionStep } from "../platform/master-key.ts";
import { type KeyRing, openWith, seal } from "../platform/sealed.ts";
import type { Db, Queryable } from "./db.ts";
import { ownerOfDkimKey } from "./dkim-keys.ts";
import { replaceKeys } from "./key-lock.ts";
import { ownerOfSecret } from "./plugin-secrets.ts";
import { ownerOfSetting } from "./plugin-settings.ts";

/** Where an interruption can happen, in this order; for tests. */
export type RotationStep = "file_made" | "resealed" | "committed" | PromotionStep;

/** Purposes of the keys: one ring for each table. */
export const SECRETS_PURPOSE = "plugin secrets";
export const SETTINGS_PURPOSE = "plugin settings";
export const DKIM_PURPOSE = "dkim keys";

export interface ResealParts {
  readonly db: Db;
  readonly master: MasterKey;
  readonly log: Log;
  readonly now: () => Date;
  /** How long fields of mail that the old key signed must be known. */
  readonly traceLifetimeS: number;
  readonly onStep?: (step: RotationStep) => void;
}

export interface Resealed {
  readonly secrets: number;
  readonly settings: number;
  readonly dkimKeys: number;
}

/** @throws {MairustError} see above; also `invalid_state`: a rotation is under way */
export async function rotateMasterKey(parts: ResealParts): Promise<Resealed> {
  await settleMasterKey(parts);
  parts.master.makeNext();
  parts.onStep?.("file_made");
  try {
    return await finish(parts, "refuse");
  } catch (error) {
    // Rolled back for sure: as if nobody had asked. After any other error the records say, when somebody looks.
    if (error instanceof PluginSecurityError) parts.master.discardNext();
    throw error;
  }
}

/** What an interrupted rotation left is brought to one of both ends. Nothing to do: nothing happens. */
export async function settleMasterKey(parts: ResealParts): Promise<void> {
  const { db, master, log } = parts;
  if (!master.hasNext) return;
  if (await isUsed(db, master)) {
    const done = await finish(parts, "leave");
    log.warn("key_rotation_finished", { ...done });
  } else {
    master.discardNext();
    log.warn("key_rotation_undone", {});
  }
}

/** Does any record stand under the next key already? */
async function isUsed(db: Db, master: MasterKey): Promise<boolean> {
  const [secrets = "", settings = "", dkim = ""] = [SECRETS_PURPOSE, SETTINGS_PURPOSE, DKIM_PURPOSE].map(
    purpose => master.ids(purpose).next,
  );
  const [row] = await db.query<{ used: boolean }>`
    select exists (select from plugin_secrets where key_id = ${secrets})
        or exists (select from plugin_setting_secrets where key_id = ${settings})
        or exists (select from dkim_keys where key_id = ${dkim}) as used`;
  return row?.used === true;
}

/** What is done with a record that no key of ours opens: a rotation that is half done must come to its end all the same. */
type Unreadable = "refuse" | "leave";

async function finish(parts: ResealParts, unreadable: Unreadable): Promise<Resealed> {
  const { db, master, onStep = () => undefined } = parts;
  const done = await reseal(db, master, unreadable, onStep);
  onStep("committed");
  master.promote(parts.now(), parts.traceLifetimeS, onStep);
  return done;
}

async function reseal(
  db: Db,
  master: MasterKey,
  unreadable: Unreadable,
  onStep: (step: RotationStep) => void,
): Promise<Resealed> {
  try {
    return await db.begin(async tx => {
      await replaceKeys(tx);
      const [secretKeys, settingKeys] = [master.ring(SECRETS_PURPOSE), master.ring(SETTINGS_PURPOSE)];
      // Before the commit: who waits for the lock must find the new key when it ends.
      master.useNext(true);
      try {
        const secrets = await resealSecrets(tx, secretKeys, unreadable);
        const settings = await resealSettings(tx, settingKeys, unreadable);
        const dkimKeys = await resealDkim(tx, master.ring(DKIM_PURPOSE), unreadable);
        onStep("resealed");
        return { secrets, settings, dkimKeys };
      } catch (error) {
        // Before the lock goes with the transaction: who waits for it must not seal with a key that is about to be discarded.
        master.useNext(false);
        throw error;
      }
    });
  } catch (error) {
    master.useNext(false);
    throw error;
  }
}

/** What a rotation would do; nothing is changed. @throws {PluginSecurityError} a record that cannot be opened would keep the key */
export async function tryRotation({ db, master }: Pick<ResealParts, "db" | "master">): Promise<Resealed> {
  const secrets = await readSecrets(db);
  const settings = await readSettings(db);
  const dkimKeys = await readDkim(db);
  for (const one of secrets) again(master.ring(SECRETS_PURPOSE), one, "refuse");
  for (const one of settings) again(master.ring(SETTINGS_PURPOSE), one, "refuse");
  for (const one of dkimKeys) again(master.ring(DKIM_PURPOSE), one, "refuse");
  return { secrets: secrets.length, settings: settings.length, dkimKeys: dkimKeys.length };
}

async function resealSecrets(tx: Queryable, ring: KeyRing, unreadable: Unreadable): Promise<number> {
  const key = ring.current();
  let done = 0;
  for (const record of await readSecrets(tx)) {
    const fresh = record.keyId === key.id ? undefined : again(ring, record, unreadable);
    if (fresh === undefined) continue;
    done += await tx.run`
      update plugin_secrets set key_id = ${key.id}, sealed = ${fresh}
      where plugin_id = ${record.plugin} and secret_id = ${record.id}`;
  }
  return done;
}

async function resealSettings(tx: Queryable, ring: KeyRing, unreadable: Unreadable): Promise<number> {
  const key = ring.current();
  let done = 0;
  for (const record of await readSettings(tx)) {
    const fresh = record.keyId === key.id ? undefined : again(ring, record, unreadable);
    if (fresh === undefined) continue;
    done += await tx.run`
      update plugin_setting_secrets set key_id = ${key.id}, sealed = ${fresh}
      where plugin_id = ${record.plugin} and key = ${record.id}`;
  }
  return done;
}

async function resealDkim(tx: Queryable, ring: KeyRing, unreadable: Unreadable): Promise<number> {
  const key = ring.current();
  let done = 0;
  for (const record of await readDkim(tx)) {
    const fresh = record.keyId === key.id ? undefined : again(ring, record, unreadable);
    if (fresh === undefined) continue;
    done += await tx.run`
      update dkim_keys set key_id = ${key.id}, sealed = ${fresh}
      where domain = ${record.plugin} and selector = ${record.id}`;
  }
  return done;
}

async function readDkim(db: Queryable): Promise<readonly SealedRecord[]> {
  const rows = await db.query<{ domain: string; selector: string; key_id: string; sealed: Buffer }>`
    select domain, selector, key_id, sealed from dkim_keys`;
  return rows.map(({ domain: plugin, selector: id, key_id: keyId, sealed }) => {
    const name = `DKIM key "${id}" of "${plugin}"`;
    return { plugin, id, keyId, sealed, owner: ownerOfDkimKey(plugin, id), name };
  });
}

async function readSecrets(db: Queryable): Promise<readonly SealedRecord[]> {
  const rows = await db.query<{ plugin_id: string; secret_id: string; key_id: string; sealed: Buffer }>`
    select plugin_id, secret_id, key_id, sealed from plugin_secrets`;
  return rows.map(({ plugin_id: plugin, secret_id: id, key_id: keyId, sealed }) => {
    const name = `secret of plugin "${plugin}"`;
    return { plugin, id, keyId, sealed, owner: ownerOfSecret(plugin, id), name };
  });
}

async function readSettings(db: Queryable): Promise<readonly SealedRecord[]> {
  const rows = await db.query<{ plugin_id: string; key: string; key_id: string; sealed: Buffer }>`
    select plugin_id, key, key_id, sealed from plugin_setting_secrets`;
  return rows.map(({ plugin_id: plugin, key: id, key_id: keyId, sealed }) => {
    const name = `setting "${id}" of plugin "${plugin}"`;
    return { plugin, id, keyId, sealed, owner: ownerOfSetting(plugin, id), name };
  });
}

interface SealedRecord {
  /** Or the domain of a DKIM key. */
  readonly plugin: string;
  /** Of the secret, or the setting's key, or the selector. */
  readonly id: string;
  readonly keyId: string;
  readonly sealed: Uint8Array;
  readonly owner: string;
  /** For people. */
  readonly name: string;
}

/** @throws {PluginSecurityError} it cannot be opened: with the old key gone it never could be */
function again(
  ring: KeyRing,
  { keyId, sealed, owner, name }: SealedRecord,
  unreadable: Unreadable,
): Uint8Array | undefined {
  const opened = openWith(ring, keyId, sealed, owner);
  if ("plain" in opened) return seal(ring.current(), opened.plain, owner);
  if (unreadable === "leave") return undefined;
  const text = `the ${name} cannot be read: ${opened.why}`;
  throw new PluginSecurityError("plugin_security", `Cannot rotate the key: ${text}`, {
    publicText: text,
    cause: opened.cause,
  });
}
