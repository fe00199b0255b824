/** Entries of the ledger, and files below it in memory: what is on the disk is what `write` has resolved for. */
import type { LedgerEntry } from "../../../src/core/ports/ledger.ts";
import type { LedgerFiles, SegmentFile } from "../../../src/hooks/ledger-files.ts";

export function entryOf(n: number, change: Partial<LedgerEntry> = {}): LedgerEntry {
  return {
    at: new Date(Date.UTC(2026, 10, 21, 1, 2, 3) + n),
    callId: `0190a000-0000-7000-8000-${String(n).padStart(12, "0")}`,
    messageId: "0190a000-0000-7000-8000-00000000000b",
    queueId: "4WsRJ55TZyz1J2k",
    point: "pre_delivery",
    hook: "spam",
    pluginId: "com.example.spam-filter",
    pluginVersion: "1.0.0",
    mode: "enforce",
    attempt: 1,
    fields: ["headers", "envelope"],
    grants: { read_headers: ["subject"] },
    bytes: 6200,
    digest: "ab".repeat(32),
    destination: "script:main.mjs",
    recipients: 1,
    ...change,
  };
}

export class MemoryFiles implements LedgerFiles {
  readonly disk = new Map<string, Buffer>();
  readonly aside: string[] = [];
  /** One for each write that reached the disk. */
  readonly writes: number[] = [];
  /** Awaited before the bytes are on the disk. */
  beforeWrite: () => Promise<void> = async () => undefined;
  /** Thrown when the bytes are there: nobody knows then whether they stay. */
  failure: Error | undefined;

  async create(name: string, sizeBytes: number): Promise<SegmentFile> {
    const bytes = Buffer.alloc(sizeBytes);
    this.disk.set(name, bytes);
    return {
      write: async (part, position) => {
        await this.beforeWrite();
        bytes.set(part, position);
        if (this.failure !== undefined) throw this.failure;
        this.writes.push(part.length);
      },
      close: async end => {
        if (this.disk.get(name) === bytes) this.disk.set(name, bytes.subarray(0, end));
      },
    };
  }

  async list() {
    return [...this.disk].map(([name, bytes]) => ({ name, sizeBytes: bytes.length }));
  }

  async read(name: string, start: number, end: number): Promise<Buffer> {
    return Buffer.from(this.disk.get(name)?.subarray(start, end) ?? []);
  }

  async remove(name: string): Promise<void> {
    this.disk.delete(name);
  }

  async setAside(name: string): Promise<void> {
    this.aside.push(name);
    this.disk.delete(name);
  }
}
