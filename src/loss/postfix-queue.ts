/**
 * Which of the canaries wait in the operator's Postfix, and have them tried now. It asks for its own queue ids and touches no other
 * mail. Source: postqueue(1), `-j` and `-i`.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { MairustError, messageOf } from "../core/errors.ts";

/** Where it is when it is not in the PATH, as for users other than root. */
const FALLBACK = "/usr/sbin/postqueue";
const MAX_ERROR_CHARS = 500;
/** Of one look: each is a process. */
const MAX_FLUSHED = 50;

export class PostfixQueue {
  readonly #args: readonly string[];
  #file = "postqueue";

  /** @param configDir  `config_directory`; "": the default instance */
  constructor(configDir: string) {
    this.#args = configDir === "" ? [] : ["-c", configDir];
  }

  /**
   * @returns those of the ids that are in the queue, with the name of their part of it
   * @throws {MairustError} `store_unavailable` the queue cannot be read
   */
  async waiting(ids: ReadonlySet<string>): Promise<ReadonlyMap<string, string>> {
    const found = new Map<string, string>();
    await this.#run(["-j"], line => {
      const entry = parseEntry(line);
      if (entry !== undefined && ids.has(entry.id)) found.set(entry.id, entry.queue);
    });
    return found;
  }

  /** Have these delivered now; what is being delivered already is left alone. A first few only: call it again. */
  async flush(waiting: ReadonlyMap<string, string>): Promise<void> {
    const deferred = [...waiting].filter(([, queue]) => queue === "deferred").slice(0, MAX_FLUSHED);
    for (const [id] of deferred) {
      // It may have been delivered meanwhile.
      await this.#run(["-i", id], () => undefined).catch(() => undefined);
    }
  }

  async #run(args: readonly string[], onLine: (line: string) => void): Promise<void> {
    try {
      await runLines(this.#file, [...this.#args, ...args], onLine);
    } catch (error) {
      const isMissing = error instanceof Error && "code" in error && error.code === "ENOENT";
      if (!isMissing || this.#file === FALLBACK)
        throw new MairustError("store_unavailable", `Cannot read Postfix's queue: ${messageOf(error)}`, {
          cause: error,
          publicText: `cannot read Postfix's queue: ${messageOf(error)}`,
        });
      this.#file = FALLBACK;
      await this.#run(args, onLine);
    }
  }
}

async function runLines(
  file: string,
  args: readonly string[],
  onLine: (line: string) => void,
): Promise<void> {
  const child = spawn(file, args, { stdio: ["ignore", "pipe", "pipe"] });
  const closed = once(child, "close");
  let said = "";
  child.stderr.on("data", chunk => {
    said = (said + String(chunk)).slice(0, MAX_ERROR_CHARS);
  });
  createInterface({ input: child.stdout }).on("line", onLine);
  const [code] = (await closed) as [number | null];
  if (code !== 0) throw new Error(said.trim() || `postqueue ended with ${code}`);
}

function parseEntry(line: string): { readonly id: string; readonly queue: string } | undefined {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value !== "object" || value === null) return undefined;
    if (!("queue_id" in value) || !("queue_name" in value)) return undefined;
    return { id: String(value.queue_id), queue: String(value.queue_name) };
  } catch {
    return undefined; // a line in a format of another version: not one of ours
  }
}
