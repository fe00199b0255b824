/**
 * The secrets of plugins: made, encrypted and kept here (`platform/sealed.ts`), and held decrypted in memory for the calls that are
 * signed with them. Other nodes hear of a change by NOTIFY and read again.
 *
 * States: staged → active → in its grace → gone (`migrations/0007_plugin_secrets.sql`). What its grace ended is left out at each
 * use, and deleted with the next change.
 */
import { randomBytes, randomUUID } from "node:crypto";
import { MairustError, messageOf, PluginSecurityError } from "../core/errors.ts";
import type { SigningSecrets } from "../core/hook-plugin.ts";
import type { Log } from "../core/ports/log.ts";
import {
  type NewSecret,
  type PluginSecrets,
  type RotateOptions,
  SECRET_BYTES,
} from "../core/ports/plugin-secrets.ts";
import { type KeyRing, openWith, seal } from "../platform/sealed.ts";
import type { Db, Queryable } from "./db.ts";
import { holdKeys } from "./key-lock.ts";

const CHANNEL = "mairust_plugin_secrets";

export interface PluginSecretOptions {
  readonly db: Db;
  readonly keys: KeyRing;
  readonly log: Log;
  readonly now: () => Date;
}

interface Held {
  readonly secretId: string;
  readonly secret: Uint8Array;
  readonly shown: boolean;
  readonly isActive: boolean;
  readonly retireAt: Date | undefined;
}

interface Row {
  readonly secret_id: string;
  readonly key_id: string;
  readonly sealed: Buffer;
  readonly shown: boolean;
  readonly active: boolean;
  readonly retire_at: Date | null;
}

export class StoredPluginSecrets implements PluginSecrets {
  readonly #options: PluginSecretOptions;
  /** By plugin: the active one first, then the staged one, then the one in its grace. */
  readonly #held = new Map<string, readonly Held[]>();
  #unlisten: (() => Promise<void>) | undefined;

  constructor(options: PluginSecretOptions) {
    this.#options = options;
  }

  /** Hear of what other nodes change. */
  async start(): Promise<void> {
    const again = async (ids: Iterable<string>) => {
      for (const id of ids) await this.#reread(id);
    };
    this.#unlisten = await this.#options.db.listen(
      CHANNEL,
      id => void (this.#held.has(id) && again([id])),
      () => void again([...this.#held.keys()]),
    );
  }

  async stop(): Promise<void> {
    await this.#unlisten?.();
    this.#unlisten = undefined;
  }

  async ensure(pluginId: string): Promise<void> {
    const { db } = this.#options;
    const held = await db.begin(async tx => {
      await lock(tx, pluginId);
      const found = await this.#read(tx, pluginId);
      if (found.length > 0) return found;
      await this.#insert(tx, pluginId, { shown: false, active: true });
      return this.#read(tx, pluginId);
    });
    this.#held.set(pluginId, held);
  }

  current(pluginId: string): SigningSecrets {
    const held = this.#held.get(pluginId);
    if (held === undefined)
      throw new MairustError(
        "invalid_state",
        `Cannot sign for plugin "${pluginId}": its secrets were not read`,
      );
    const now = this.#options.now();
    const valid = held.filter(({ retireAt }) => retireAt === undefined || retireAt > now);
    // A staged secret that nobody proved takes over when the old one's grace is over.
    const [first, ...rest] = valid;
    const staged = rest.find(({ isActive, retireAt }) => !isActive && retireAt === undefined);
    return {
      signing: [first, ...rest].flatMap(one => (one === undefined ? [] : [one.secret])),
      staged: staged?.secret,
    };
  }

  async activate(pluginId: string): Promise<void> {
    await this.#change(pluginId, async tx => {
      await tx.run`update plugin_secrets set activated_at = now() where plugin_id = ${pluginId} and activated_at is null`;
    });
    this.#options.log.info("plugin_secret_activated", { plugin: pluginId });
  }

  async rotate(pluginId: string, { graceS, staged }: RotateOptions): Promise<NewSecret> {
    const made = await this.#change(pluginId, async tx => {
      const before = await this.#read(tx, pluginId);
      const known = before.filter(({ shown }) => shown);
      if (graceS > 0 && known.length > 1) throw inGrace(pluginId);
      // Nobody can have put it into a receiver: nothing to be gentle about.
      const keeps = graceS > 0 && known.length > 0;
      if (keeps)
        await tx.run`
          update plugin_secrets
          set retire_at = now() + make_interval(secs => ${graceS}), activated_at = coalesce(activated_at, now())
          where plugin_id = ${pluginId}`;
      else await tx.run`delete from plugin_secrets where plugin_id = ${pluginId}`;
      const { secret, secretId } = await this.#insert(tx, pluginId, {
        shown: true,
        active: !(keeps && staged),
      });
      const oldUntil = keeps
        ? (await this.#read(tx, pluginId)).find(one => one.retireAt)?.retireAt
        : undefined;
      return { secret, secretId, active: !(keeps && staged), oldUntil };
    });
    this.#options.log.info("plugin_secret_rotated", {
      plugin: pluginId,
      secret_id: made.secretId,
      grace_s: graceS,
    });
    return made;
  }

  /** One change in one transaction; then this node and the others read again. */
  async #change<T>(pluginId: string, work: (tx: Queryable) => Promise<T>): Promise<T> {
    const { db } = this.#options;
    const result = await db.begin(async tx => {
      await lock(tx, pluginId);
      await tx.run`delete from plugin_secrets where plugin_id = ${pluginId} and retire_at <= now()`;
      return work(tx);
    });
    await this.#reread(pluginId);
    // Other nodes find out in any case, with their next start.
    await db.notify(CHANNEL, pluginId).catch((error: unknown) => this.#warn(pluginId, error));
    return result;
  }

  async #reread(pluginId: string): Promise<void> {
    try {
      this.#held.set(pluginId, await this.#read(this.#options.db, pluginId));
    } catch (error) {
      this.#warn(pluginId, error);
    }
  }

  #warn(pluginId: string, error: unknown): void {
    this.#options.log.warn("plugin_secret_not_read", { plugin: pluginId, reason: messageOf(error) });
  }

  async #read(db: Queryable, pluginId: string): Promise<readonly Held[]> {
    const rows = await db.query<Row>`
      select secret_id, key_id, sealed, shown, activated_at is not null as active, retire_at
      from plugin_secrets where plugin_id = ${pluginId} and (retire_at is null or retire_at > now())
      order by activated_at is not null desc, retire_at nulls first, activated_at desc, created_at desc`;
    return rows.map(row => ({
      secretId: row.secret_id,
      secret: this.#opened(pluginId, row),
      shown: row.shown,
      isActive: row.active,
      retireAt: row.retire_at ?? undefined,
    }));
  }

  #opened(pluginId: string, { secret_id: secretId, key_id: keyId, sealed }: Row): Uint8Array {
    const opened = openWith(this.#options.keys, keyId, sealed, ownerOfSecret(pluginId, secretId));
    if ("plain" in opened) return opened.plain;
    const text = `its secret "${secretId}" cannot be read: ${opened.why}`;
    throw new PluginSecurityError("plugin_security", `Cannot sign for plugin "${pluginId}": ${text}`, {
      cause: opened.cause,
      context: { why: text },
    });
  }

  async #insert(
    tx: Queryable,
    pluginId: string,
    { shown, active }: { readonly shown: boolean; readonly active: boolean },
  ): Promise<{ readonly secret: Uint8Array; readonly secretId: string }> {
    const secretId = randomUUID();
    const secret = randomBytes(SECRET_BYTES);
    const key = this.#options.keys.current();
    await tx.run`
      insert into plugin_secrets (plugin_id, secret_id, key_id, sealed, shown, activated_at)
      values (${pluginId}, ${secretId}, ${key.id}, ${seal(key, secret, ownerOfSecret(pluginId, secretId))}, ${shown},
              case when ${active} then now() end)`;
    return { secret, secretId };
  }
}

/** Two nodes that start at once agree on one secret. */
async function lock(tx: Queryable, pluginId: string): Promise<void> {
  await holdKeys(tx);
  await tx.query`select pg_advisory_xact_lock(hashtextextended(${`plugin_secrets ${pluginId}`}, 0))`;
}

/** What a sealed secret belongs to. */
export function ownerOfSecret(pluginId: string, secretId: string): string {
  return `${pluginId}\n${secretId}`;
}

function inGrace(pluginId: string): MairustError {
  const publicText = "the secret before is still in its grace; --grace 0 ends it at once";
  return new MairustError(
    "invalid_state",
    `Cannot rotate the secret of plugin "${pluginId}": ${publicText}`,
    {
      publicText,
    },
  );
}
