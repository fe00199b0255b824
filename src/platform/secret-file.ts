/**
 * Secrets that live in files of their own, mode 0600, made at first start: the master key and the password that Dovecot logs in with.
 * Failures: `config_invalid` naming the file, when it cannot be read or made, or when others may read it.
 */
import { randomBytes } from "node:crypto";
import {
  chmodSync,
  closeSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname } from "node:path";
import { MairustError, messageOf } from "../core/errors.ts";
import { syncFolder } from "./sync-folder.ts";

/** Bytes of randomness in a new secret. */
const SECRET_BYTES = 32;
/** Largest secret file. */
const MAX_FILE_BYTES = 4096;

export interface SecretFile {
  /** Text of the file without the line break at its end. */
  readonly secret: string;
  /** It was not there and has been made now. */
  readonly made: boolean;
}

/**
 * Read the secret, or make one (64 hex digits).
 * @param key  configuration key that named the file, for messages
 */
export function loadOrMakeSecret(key: string, path: string): SecretFile {
  try {
    const found = readSecret(path);
    if (found !== undefined) return { secret: found, made: false };
    makeSecret(path);
    return { secret: readSecret(path) ?? "", made: true };
  } catch (error) {
    throw new MairustError(
      "config_invalid",
      `${key}: Cannot use secret file "${path}": ${messageOf(error)}`,
      { cause: error },
    );
  }
}

/** Undefined: there is none. @throws {Error} it cannot be used */
export function readSecret(path: string): string | undefined {
  const text = readPrivateFile(path)?.replace(/\r?\n$/u, "");
  if (text === "" || (text !== undefined && /[\r\n\0]/u.test(text))) throw new Error("it must hold one line");
  return text;
}

/** Undefined: there is none. @throws {Error} it is no small file, or others may read it */
export function readPrivateFile(path: string): string | undefined {
  const facts = statSync(path, { throwIfNoEntry: false });
  if (facts === undefined) return undefined;
  if (!facts.isFile() || facts.size > MAX_FILE_BYTES) throw new Error("it is no small file");
  if ((facts.mode & 0o007) !== 0) throw new Error("everybody may read or write it: chmod o= it");
  return readFileSync(path, "utf8");
}

/** Written under another name and linked, so that nobody reads half a secret and two processes agree on one. */
function makeSecret(path: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  const temporary = `${path}.${process.pid}.making`;
  writeDurably(temporary, `${newSecret()}\n`, "wx");
  try {
    linkSync(temporary, path);
    syncFolder(path);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
  } finally {
    unlinkSync(temporary);
  }
}

export function newSecret(): string {
  return randomBytes(SECRET_BYTES).toString("hex");
}

/** Mode 0600, and on disk when this returns. @param flag  `wx`: it must not be there yet */
export function writeDurably(path: string, text: string, flag: "w" | "wx"): void {
  const file = openSync(path, flag, 0o600);
  try {
    chmodSync(path, 0o600);
    writeFileSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
