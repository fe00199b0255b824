/**
 * Full disks (quality R3): blobs, database and log of one sidecar on small file systems of their own, each filled while mail comes in,
 * and emptied again.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { sleep } from "../../src/platform/deadline.ts";
import type { DeliveryProbe } from "./delivery-probe.ts";
import { SmallDisk } from "./small-disk.ts";

const DATA_MB = 400;
const BLOBS_MB = 64;
const LOG_MB = 4;
/** A small message fits into it, a large one does not. */
const ALMOST_BYTES = 98_304;
const SMALL_BYTES = 2_000;
const LARGE_BYTES = 400_000;
/** Deliveries until a full database shows: it still has room in pages and log files. */
const MAX_PROBES = 3_000;
const LOG_MS = 30_000;

export const DISK_OUTAGES = ["blobs_full", "database_full", "log_full"] as const;
export type DiskOutage = (typeof DISK_OUTAGES)[number];

export class OutageDisks {
  readonly logFile: string;
  readonly #data: SmallDisk;
  readonly #blobs: SmallDisk;
  readonly #log: SmallDisk;

  /** @param dir  the sidecar's folder */
  constructor(dir: string) {
    this.#data = SmallDisk.mount(join(dir, "data"), DATA_MB);
    this.#blobs = SmallDisk.mount(join(dir, "data", "blobs"), BLOBS_MB);
    this.#log = SmallDisk.mount(join(dir, "out"), LOG_MB);
    this.logFile = join(dir, "out", "sidecar.log");
  }

  /** @returns replies that deliveries got while the disk was full */
  async happen(outage: DiskOutage, probe: DeliveryProbe): Promise<readonly string[]> {
    if (outage === "blobs_full") return this.#blobsFull(probe);
    if (outage === "database_full") return this.#databaseFull(probe);
    return this.#logFull(probe);
  }

  unmount(): void {
    for (const disk of [this.#log, this.#blobs, this.#data]) disk.unmount();
  }

  async #blobsFull(probe: DeliveryProbe): Promise<readonly string[]> {
    try {
      this.#blobs.fill();
      const small = await probe.deliver(SMALL_BYTES);
      const large = await probe.deliver(LARGE_BYTES);
      this.#blobs.free();
      // The end comes in the middle of a file.
      this.#blobs.fill(ALMOST_BYTES);
      const torn = await probe.deliver(LARGE_BYTES);
      return [small.reply, large.reply, torn.reply];
    } finally {
      this.#blobs.free();
    }
  }

  async #databaseFull(probe: DeliveryProbe): Promise<readonly string[]> {
    try {
      this.#data.fill();
      for (let i = 0; i < MAX_PROBES; i++) {
        const { reply } = await probe.deliver(SMALL_BYTES);
        if (!reply.startsWith("250")) return [reply];
      }
      return [];
    } finally {
      this.#data.free();
    }
  }

  /** Mail never waits for its log; and there are lines again when there is room. */
  async #logFull(probe: DeliveryProbe): Promise<readonly string[]> {
    const replies: string[] = [];
    try {
      this.#log.fill();
      for (let i = 0; i < 20; i++) replies.push((await probe.deliver(SMALL_BYTES)).reply);
    } finally {
      this.#log.free();
    }
    const givenUpAt = performance.now() + LOG_MS;
    for (;;) {
      const { queueId } = await probe.deliver(SMALL_BYTES);
      await sleep(100);
      if (readFileSync(this.logFile, "latin1").includes(queueId)) return replies;
      if (performance.now() > givenUpAt) return [...replies, "nothing is logged any more"];
    }
  }
}
