/**
 * The master key: one line in a file of mode 0600, from which every other key of the service is derived, one for each purpose. This
 * file knows the files; `store/reseal.ts` replaces what was sealed.
 *
 * Files of a rotation, beside `key_file`:
 *   `.next`      the key that is to take over. It is there from before the first record is sealed with it until it takes the place of
 *                `key_file` by a rename. Found at a start: whether it took over is what the records say.
 *   `.previous`  what keys of before are still needed for, derived from them, with the time until when. The keys themselves are gone:
 *                an old copy of the database does not open with it.
 * Failures: `config_invalid` naming the file; `invalid_state`: a rotation is under way.
 */
import { createHmac } from "node:crypto";
import { renameSync, rmSync } from "node:fs";
import { MairustError, messageOf } from "../core/errors.ts";
import { type KeyRing, type SealingKey, sealingKey } from "./sealed.ts";
import { loadOrMakeSecret, newSecret, readPrivateFile, readSecret, writeDurably } from "./secret-file.ts";
import { syncFolder } from "./sync-folder.ts";

/** Keys of before that fields of mail are still checked with; a rotation a day for as long as mail lives. */
const MAX_PREVIOUS = 16;

interface Previous {
  readonly key: string;
  /** Unix seconds. */
  readonly until: number;
}

/** Where a rotation can be interrupted, in this order; for tests. */
export type PromotionStep = "previous_written" | "renamed";

export class MasterKey {
  readonly #path: string;
  #key: string;
  #next: string | undefined;
  /** What is sealed from now on takes the next key. */
  #useNext = false;
  #previous: readonly Previous[];

  /** Read the key file, or make one. @param path  `key_file` */
  constructor(path: string) {
    this.#path = path;
    this.#key = loadOrMakeSecret("key_file", path).secret;
    this.#next = this.#read(".next", readSecret);
    this.#previous = this.#read(".previous", path => parsePrevious(readPrivateFile(path) ?? ""));
  }

  #read<T>(suffix: string, read: (path: string) => T): T {
    try {
      return read(`${this.#path}${suffix}`);
    } catch (error) {
      const text = `key_file: Cannot use "${this.#path}${suffix}": ${messageOf(error)}`;
      throw new MairustError("config_invalid", text, { cause: error });
    }
  }

  /** A rotation was begun, and did not come to its end. */
  get hasNext(): boolean {
    return this.#next !== undefined;
  }

  /** Keys to seal with: the current one, and both to open with. */
  ring(purpose: string): KeyRing {
    const all = () => [this.#key, ...(this.#next === undefined ? [] : [this.#next])];
    const keys = new Map<string, SealingKey>();
    const derived = (key: string) => {
      const known = keys.get(key) ?? sealingKey(key, purpose);
      keys.set(key, known);
      return known;
    };
    return {
      current: () => derived((this.#useNext ? this.#next : undefined) ?? this.#key),
      find: id =>
        all()
          .map(derived)
          .find(one => one.id === id),
    };
  }

  /** For a purpose where nothing is kept that was made with it. */
  hmacKey(purpose: string): Buffer {
    return hmacKeyOf(this.#key, purpose);
  }

  /** The key of fields that are on their way through queues: made with the first, checked with all. */
  traceKeys(now: Date): readonly Buffer[] {
    const valid = this.#previous.filter(({ until }) => until * 1000 > now.getTime());
    return [this.hmacKey("trace"), ...valid.map(({ key }) => Buffer.from(key, "hex"))];
  }

  /** @throws {MairustError} `invalid_state` */
  makeNext(): void {
    if (this.#next !== undefined) {
      const text = `a rotation of the key was begun and did not end; "${this.#path}.next" is there`;
      throw new MairustError("invalid_state", `Cannot rotate the key: ${text}`, { publicText: text });
    }
    const next = newSecret();
    writeDurably(`${this.#path}.next`, `${next}\n`, "wx");
    syncFolder(this.#path);
    this.#next = next;
  }

  /** From now on, until `promote` or `discardNext`. */
  useNext(use: boolean): void {
    this.#useNext = use;
  }

  /** Ids of the keys of a purpose. */
  ids(purpose: string): { readonly current: string; readonly next: string | undefined } {
    const next = this.#next === undefined ? undefined : sealingKey(this.#next, purpose).id;
    return { current: sealingKey(this.#key, purpose).id, next };
  }

  /**
   * The next key takes the place of the current one, for which there is nothing left to open.
   * @param traceLifetimeS  how long fields of mail that were made with the old one are good
   */
  promote(now: Date, traceLifetimeS: number, onStep: (step: PromotionStep) => void = () => undefined): void {
    if (this.#next === undefined) return;
    const seconds = Math.ceil(now.getTime() / 1000);
    const old = { key: this.hmacKey("trace").toString("hex"), until: seconds + traceLifetimeS };
    const others = this.#previous.filter(({ key, until }) => key !== old.key && until > seconds);
    const previous = [old, ...others].slice(0, MAX_PREVIOUS);
    // Before the old key is gone: verdicts under way are found by fields that it signed.
    writeDurably(`${this.#path}.previous.making`, previous.map(lineOf).join(""), "w");
    renameSync(`${this.#path}.previous.making`, `${this.#path}.previous`);
    syncFolder(this.#path);
    onStep("previous_written");
    renameSync(`${this.#path}.next`, this.#path);
    syncFolder(this.#path);
    onStep("renamed");
    this.#previous = previous;
    this.#key = this.#next;
    this.#next = undefined;
    this.#useNext = false;
  }

  /** Nothing was sealed with the next key. */
  discardNext(): void {
    rmSync(`${this.#path}.next`, { force: true });
    syncFolder(this.#path);
    this.#next = undefined;
    this.#useNext = false;
  }
}

function hmacKeyOf(key: string, purpose: string): Buffer {
  return createHmac("sha256", key).update(purpose).digest();
}

const lineOf = ({ key, until }: Previous) => `trace ${key} ${until}\n`;

/** @throws {Error} another text than ours */
function parsePrevious(text: string): readonly Previous[] {
  return text
    .split("\n")
    .filter(line => line !== "")
    .map(line => {
      const [, key, until] = /^trace ([0-9a-f]{64}) (\d{1,12})$/u.exec(line) ?? [];
      if (key === undefined) throw new Error("a line of it is none of ours");
      return { key, until: Number(until) };
    });
}
