/** What collecting and checking blobs needs of where they lie, beside `BlobStore`; `store/blobs-fs-upkeep.ts` implements it. */
import type { BlobDigest } from "../ids.ts";
import type { BlobRecord } from "./blobs.ts";

/** One stored blob as its place shows it: nothing was read. */
export interface StoredObject {
  /** undefined: its name is no digest, it is not ours. */
  readonly digest: BlobDigest | undefined;
  readonly name: string;
  /** What it takes where it lies. */
  readonly storedBytes: number;
  /** Since it was last put, the smaller of what this machine's and the store's clock say; may be negative. */
  readonly ageMs: number;
}

export type BlobCheck =
  | { readonly state: "ok"; readonly record: BlobRecord }
  | { readonly state: "missing" | "damaged"; readonly why: string };

export interface BlobUpkeep {
  /** All blobs lie in this many parts, numbered from 0, about equally full. */
  readonly parts: number;
  /** Names of everything in one part, in no order, as they are read: memory stays bounded. */
  names(part: number): AsyncIterable<string>;
  /** @returns undefined when it is gone by now */
  look(part: number, name: string): Promise<StoredObject | undefined>;
  /** The digest that a name in a part stands for; undefined when it is none. */
  digestOf(part: number, name: string): BlobDigest | undefined;
  /** Remove one that is there. Idempotent. */
  remove(digest: BlobDigest): Promise<void>;
  /** Hash it and make sure that it is durable under its name. @returns undefined: missing or damaged */
  secure(digest: BlobDigest, sizeBytes: number): Promise<BlobRecord | undefined>;
  /** How a blob is. @param whole  hash it too. @throws {MairustError} `store_unavailable`: it cannot be said now */
  check(digest: BlobDigest, whole: boolean): Promise<BlobCheck>;
  /** Temporary files that no process can still need. @returns how many were removed */
  removeLeftovers(): Promise<number>;
  /** Temporary files there are now, in use or not. */
  countTemporary(): Promise<number>;
  /** Which database the blobs belong to; undefined: nobody claimed them yet. */
  owner(): Promise<string | undefined>;
  /** Claim them. @returns the owner, which is another one when somebody was faster */
  claim(owner: string): Promise<string>;
}
