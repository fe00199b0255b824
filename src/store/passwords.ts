/**
 * Users' own passwords: Argon2id, checked on threads of the library, a few at a time (each takes memory), and remembered for a
 * moment. The row is read at every login, so a password that was changed or taken away counts at once, on every node.
 *
 * An account that is not there, or has no password, costs the same check as a wrong one. Nothing here logs or throws a password.
 * Sources: RFC 9106 (Argon2, §4 parameters), PHC string format.
 */
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { hash, verify } from "@node-rs/argon2";
import { parseMailAddress } from "../core/envelope.ts";
import { MairustError } from "../core/errors.ts";
import { accountId } from "../core/ids.ts";
import type { Account } from "../core/ports/directory.ts";
import { addressKey } from "./accounts.ts";
import type { Db } from "./db.ts";
import { PasswordTurns } from "./password-turns.ts";

/** Octets of a password; more is refused before anything is computed. */
export const MAX_PASSWORD_BYTES = 1_000;
/** Memory of one hash in KiB, passes, lanes: 19 MiB and some 20 ms. */
const COST = { memoryCost: 19_456, timeCost: 2, parallelism: 1 } as const;
/** Hashes that come from elsewhere may ask for this much. */
const MAX_COST = { memoryKiB: 262_144, passes: 10, lanes: 16 };
/** How long a password that was right is not computed again. */
const REMEMBER_MS = 60_000;
const MAX_REMEMBERED = 10_000;

/** A hash that was made here or elsewhere, `{ARGON2ID}` (as Dovecot writes it) or nothing in front. */
const PHC =
  /^(?:\{ARGON2ID\})?(\$argon2id\$v=19\$m=(\d{1,7}),t=(\d{1,3}),p=(\d{1,3})\$[A-Za-z0-9+/]{11,}\$[A-Za-z0-9+/]{16,})$/u;
const MAX_HASH_CHARS = 500;

/** @throws {MairustError} `invalid_argument`: empty, too long, or with NUL (no client can send it) */
export async function hashPassword(password: string): Promise<string> {
  const bytes = Buffer.byteLength(password);
  if (bytes === 0 || bytes > MAX_PASSWORD_BYTES || password.includes("\0")) {
    const text = `a password has 1 to ${MAX_PASSWORD_BYTES} octets, none of them NUL`;
    throw new MairustError("invalid_argument", `Cannot take the password: ${text}`, { publicText: text });
  }
  return hash(password, COST);
}

/** @returns the hash as it is stored. @throws {MairustError} `invalid_argument`: not Argon2id, or too costly to check */
export function readPasswordHash(text: string): string {
  const [, phc, memory, passes, lanes] =
    (text.length > MAX_HASH_CHARS ? undefined : PHC.exec(text.trim())) ?? [];
  if (phc === undefined)
    throw unusable("only Argon2id hashes are taken: $argon2id$v=19$m=…,t=…,p=…$salt$hash");
  if (
    Number(memory) > MAX_COST.memoryKiB ||
    Number(passes) > MAX_COST.passes ||
    Number(lanes) > MAX_COST.lanes
  ) {
    const { memoryKiB, passes: t, lanes: p } = MAX_COST;
    throw unusable(`the hash is too costly to check: at most m=${memoryKiB},t=${t},p=${p}`);
  }
  return phc;
}

function unusable(text: string): MairustError {
  return new MairustError("invalid_argument", `Cannot take the password hash: ${text}`, { publicText: text });
}

interface Row {
  readonly id: number;
  readonly domain: string;
  readonly local_part: string;
  readonly quota_bytes: number;
  readonly used_bytes: number;
  readonly used_messages: number;
  readonly password_hash: string | null;
}

export interface PasswordTurn {
  /** Called when the turn has come and before anything is computed: what it throws is thrown. */
  readonly before?: () => void;
  /** Ends the wait for the turn with its reason; a computation that began goes on. */
  readonly gone?: AbortSignal | undefined;
}

export interface UserPasswords {
  /**
   * @param user  exact address of an account; aliases do not log in
   * @returns     its account, or undefined for whatever is wrong
   * @throws {MairustError} `store_unavailable`; `too_many`: too many logins wait already
   */
  check(user: string, password: string, turn?: PasswordTurn): Promise<Account | undefined>;
}

/**
 * @param dbOf     the database for the login of one address
 * @param compare  how a password is compared with a hash; the tests count the calls
 */
export function createUserPasswords(
  dbOf: (address: string) => Db,
  now: () => number,
  compare: (hash: string, password: string) => Promise<boolean> = (hashed, password) =>
    verify(hashed, password),
): UserPasswords {
  const remembered = new RememberedPasswords(now);
  const turns = new PasswordTurns();
  let dummy: Promise<string> | undefined;
  const rightOf = async (row: Row | undefined, password: string, { before, gone }: PasswordTurn) => {
    const stored = row?.password_hash ?? undefined;
    const known = () =>
      row !== undefined && stored !== undefined && remembered.knows(row.id, stored, password);
    if (known()) return true;
    dummy ??= hash(randomBytes(16).toString("hex"), COST);
    dummy.catch(() => {
      dummy = undefined;
    });
    const hashed = stored ?? (await dummy);
    return turns.take(async () => {
      // Many connections of one client come at once: the first one's answer counts for all.
      if (known()) return true;
      before?.();
      const right = (await compare(hashed, password)) && row !== undefined && stored !== undefined;
      if (right) remembered.add(row.id, stored, password);
      return right;
    }, gone);
  };
  return {
    async check(user, password, turn = {}) {
      if (Buffer.byteLength(password) > MAX_PASSWORD_BYTES) return undefined;
      const row = await findRow(dbOf, user);
      const right = await rightOf(row, password, turn);
      return right && row !== undefined ? accountOf(row) : undefined;
    },
  };
}

async function findRow(dbOf: (address: string) => Db, user: string): Promise<Row | undefined> {
  let key: { readonly domain: string; readonly localPart: string };
  try {
    key = addressKey(parseMailAddress(user));
  } catch {
    return undefined;
  }
  const [row] = await dbOf(`${key.localPart}@${key.domain}`).query<Row>`
    select a.id, a.domain, a.local_part, coalesce(a.quota_bytes, d.quota_bytes) as quota_bytes, a.used_bytes, a.used_messages, a.password_hash
    from accounts a join domains d on d.name = a.domain and d.enabled
    where a.domain = ${key.domain} and a.local_part = ${key.localPart}`;
  return row;
}

function accountOf(row: Row): Account {
  return {
    id: accountId(row.id),
    address: `${row.local_part}@${row.domain}`,
    domain: row.domain,
    quotaBytes: row.quota_bytes,
    usedBytes: row.used_bytes,
    usedMessages: row.used_messages,
  };
}

/** Passwords that were right a moment ago, as keyed digests beside the hash that they matched. */
class RememberedPasswords {
  readonly #key = randomBytes(32);
  readonly #entries = new Map<
    number,
    { readonly hash: string; readonly digest: Buffer; readonly until: number }
  >();
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  knows(account: number, hashed: string, password: string): boolean {
    const entry = this.#entries.get(account);
    if (entry === undefined || entry.hash !== hashed || entry.until <= this.#now()) return false;
    return timingSafeEqual(entry.digest, this.#digest(password));
  }

  add(account: number, hashed: string, password: string): void {
    if (this.#entries.size >= MAX_REMEMBERED) {
      const [oldest] = this.#entries.keys();
      if (oldest !== undefined) this.#entries.delete(oldest);
    }
    this.#entries.delete(account);
    this.#entries.set(account, {
      hash: hashed,
      digest: this.#digest(password),
      until: this.#now() + REMEMBER_MS,
    });
  }

  #digest(password: string): Buffer {
    return createHmac("sha256", this.#key).update(password, "utf8").digest();
  }
}
