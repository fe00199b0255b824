/**
 * A user of its own for each plugin, by number alone: none of them has a name or an entry anywhere. The number follows from the plugin's
 * id; where two ids meet, the later one takes the next that is free. What was given is remembered in a file, so that what a plugin
 * keeps in its folder is its own also after a restart.
 */
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";

export class PluginUids {
  readonly #first: number;
  readonly #count: number;
  readonly #file: string | undefined;
  readonly #byId: Map<string, number>;

  /** @param file  JSON object, id → uid; absent: nothing is remembered */
  constructor([first, last]: readonly number[], file: string | undefined) {
    this.#first = first ?? 0;
    this.#count = (last ?? 0) - this.#first + 1;
    this.#file = file;
    this.#byId = new Map(read(file).filter(([, uid]) => this.#isMine(uid)));
  }

  /** @returns undefined: all numbers of the range are taken */
  of(pluginId: string): number | undefined {
    const known = this.#byId.get(pluginId);
    if (known !== undefined) return known;
    const taken = new Set(this.#byId.values());
    const start = createHash("sha256").update(pluginId).digest().readUInt32BE(0);
    for (let probe = 0; probe < this.#count; probe++) {
      const uid = this.#first + ((start + probe) % this.#count);
      if (taken.has(uid)) continue;
      this.#byId.set(pluginId, uid);
      this.#write();
      return uid;
    }
    return undefined;
  }

  #isMine(uid: number): boolean {
    return Number.isInteger(uid) && uid >= this.#first && uid < this.#first + this.#count;
  }

  #write(): void {
    if (this.#file === undefined) return;
    mkdirSync(dirname(this.#file), { recursive: true });
    const next = `${this.#file}.new`;
    writeFileSync(next, `${JSON.stringify(Object.fromEntries(this.#byId), undefined, 1)}\n`, { mode: 0o600 });
    renameSync(next, this.#file);
  }
}

function read(file: string | undefined): readonly (readonly [string, number])[] {
  if (file === undefined) return [];
  try {
    const parsed: unknown = JSON.parse(readFileSync(file, "utf8"));
    return Object.entries(parsed ?? {}).filter(
      (entry): entry is [string, number] => typeof entry[1] === "number",
    );
  } catch {
    // Not there yet, or damaged: numbers follow from the ids, so that most come out the same.
    return [];
  }
}
