/**
 * DKIM keys of our domains in PostgreSQL (`migrations/0015_sender_auth.sql`): private keys sealed under the master key, each for its
 * domain and selector (`platform/sealed.ts`).
 */
import type { ChangeOptions } from "../core/admin-ports.ts";
import { MairustError, NotFound } from "../core/errors.ts";
import {
  type DkimAlgorithm,
  type DkimKeyRecord,
  type DkimKeys,
  MAX_DKIM_KEYS,
  type NewDkimKey,
} from "../core/ports/dkim.ts";
import { type KeyRing, openWith, seal } from "../platform/sealed.ts";
import type { Db, Queryable } from "./db.ts";
import { holdKeys } from "./key-lock.ts";

interface KeyRow {
  readonly domain: string;
  readonly selector: string;
  readonly algorithm: DkimAlgorithm;
  readonly public_key: string;
  readonly created_at: Date;
}

interface SealedRow extends KeyRow {
  readonly key_id: string;
  readonly sealed: Buffer;
}

/** What a sealed key belongs to. */
export function ownerOfDkimKey(domain: string, selector: string): string {
  return `dkim\n${domain}\n${selector}`;
}

export function createDkimKeys(db: Db, keys: KeyRing): DkimKeys {
  return {
    list: domain => listKeys(db, domain),
    add: (key, options) => addKey(db, keys, key, options),
    async remove(domain, selector, { dryRun }) {
      const found = (await listKeys(db, domain)).find(one => one.selector === selector);
      if (found === undefined) throw noKey(domain, selector);
      if (!dryRun) await db.run`delete from dkim_keys where domain = ${domain} and selector = ${selector}`;
      return found;
    },
    async privateKeys(domain) {
      const rows = await db.query<SealedRow>`
        select domain, selector, algorithm, public_key, created_at, key_id, sealed
        from dkim_keys where domain = ${domain} order by selector`;
      return rows.map(row => {
        const owner = ownerOfDkimKey(row.domain, row.selector);
        const opened = openWith(keys, row.key_id, row.sealed, owner);
        if ("plain" in opened)
          return { selector: row.selector, algorithm: row.algorithm, privateKey: opened.plain };
        const text = `the DKIM key "${row.selector}" of "${row.domain}" cannot be read: ${opened.why}`;
        throw new MairustError("invalid_state", `Cannot sign: ${text}`, {
          ...{ retry: "later", publicText: text },
          cause: opened.cause,
        });
      });
    },
  };
}

async function listKeys(q: Queryable, domain: string): Promise<readonly DkimKeyRecord[]> {
  const rows = await q.query<KeyRow>`
    select domain, selector, algorithm, public_key, created_at from dkim_keys where domain = ${domain} order by selector`;
  return rows.map(row => ({
    domain: row.domain,
    selector: row.selector,
    algorithm: row.algorithm,
    publicKey: row.public_key,
    createdAt: row.created_at,
  }));
}

async function addKey(
  db: Db,
  ring: KeyRing,
  key: NewDkimKey,
  { dryRun }: ChangeOptions,
): Promise<DkimKeyRecord> {
  const { domain, selector, algorithm, publicKey, privateKey } = key;
  return db.begin(async tx => {
    await holdKeys(tx);
    const [found] = await tx.query`select name from domains where name = ${domain} for update`;
    if (found === undefined) {
      const text = `no such domain "${domain}"`;
      throw new MairustError("unknown_domain", `Cannot add a DKIM key: ${text}`, { publicText: text });
    }
    const known = await listKeys(tx, domain);
    if (known.some(one => one.selector === selector)) {
      const text = `"${domain}" has a key with the selector "${selector}" already`;
      throw new MairustError("already_exists", `Cannot add a DKIM key: ${text}`, { publicText: text });
    }
    if (known.length >= MAX_DKIM_KEYS) {
      const text = `"${domain}" has ${known.length} keys, more than ${MAX_DKIM_KEYS} are not used`;
      throw new MairustError("too_many", `Cannot add a DKIM key: ${text}`, { publicText: text });
    }
    if (dryRun) return { domain, selector, algorithm, publicKey, createdAt: new Date() };
    const current = ring.current();
    const sealed = seal(current, privateKey, ownerOfDkimKey(domain, selector));
    const [row] = await tx.query<{ created_at: Date }>`
      insert into dkim_keys (domain, selector, algorithm, public_key, key_id, sealed)
      values (${domain}, ${selector}, ${algorithm}, ${publicKey}, ${current.id}, ${sealed}) returning created_at`;
    return { domain, selector, algorithm, publicKey, createdAt: row?.created_at ?? new Date() };
  });
}

function noKey(domain: string, selector: string): MairustError {
  return new NotFound("DKIM key", `${selector}._domainkey.${domain}`);
}
