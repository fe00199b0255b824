/** The collector of the "worker" component: a run every hour, a twenty-fourth of the blob folder in each. */
import { messageOf } from "../core/errors.ts";
import { every } from "../platform/deadline.ts";
import type { Health } from "../platform/health.ts";
import type { RootLog } from "../platform/log.ts";
import type { Metrics } from "../platform/metrics.ts";
import { collectBlobs } from "../store/blob-gc.ts";
import { folderProblem } from "../store/blob-gc-walk.ts";
import type { FsBlobStore } from "../store/blobs-fs.ts";
import type { Db } from "../store/db.ts";
import type { Cell } from "./cell.ts";

const RUN_MS = 3_600_000;
const RUNS_PER_WALK = 24;

export interface CollectorParts {
  readonly db: Db;
  readonly blobs: Cell<FsBlobStore>;
  readonly log: RootLog;
  readonly metrics: Metrics;
}

export class BlobCollector {
  readonly #parts: CollectorParts;
  readonly #stopping = new AbortController();
  #end: () => void = () => undefined;
  #running: Promise<void> = Promise.resolve();
  #problem: string | undefined;

  constructor(parts: CollectorParts) {
    this.#parts = parts;
  }

  /** Claims a new blob folder at once, so that the database of tomorrow does not have to guess whose it is. */
  async start(): Promise<void> {
    this.#problem = await folderProblem(this.#parts.db, this.#parts.blobs.get().upkeep);
    if (this.#problem !== undefined) this.#parts.log.error("blobs are not collected", { reason: this.#problem });
    this.#end = every(RUN_MS, () => {
      this.#running = this.#run();
      return this.#running;
    });
  }

  /** Ends a run after the step that is under way: a few milliseconds. */
  async stop(): Promise<void> {
    this.#end();
    this.#stopping.abort();
    await this.#running;
  }

  health(): Health {
    return this.#problem === undefined
      ? { status: "ok" }
      : { status: "degraded", detail: `blobs are not collected: ${this.#problem}` };
  }

  async #run(): Promise<void> {
    const { db, blobs, log, metrics } = this.#parts;
    try {
      const { upkeep } = blobs.get();
      const partsPerRun = Math.ceil(upkeep.parts / RUNS_PER_WALK);
      const { end, withoutRow, ...gone } = await collectBlobs(
        { db, upkeep, log, partsPerRun },
        this.#stopping.signal,
      );
      metrics.blobGcBlobs.inc(gone.blobs);
      metrics.blobGcBytes.inc(gone.bytes);
      if (gone.blobs + gone.leftovers > 0) {
        log.info("blobs collected", { ...gone, without_row: withoutRow });
      }
      this.#problem = end === "foreign" ? await folderProblem(db, upkeep) : undefined;
    } catch (error) {
      log.error("blobs not collected", { reason: messageOf(error) });
    }
  }
}
