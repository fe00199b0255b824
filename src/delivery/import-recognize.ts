/**
 * Which messages of a batch are here already, because the same mail came by another way (stage `mirror`): the store names entries that
 * may be it, and all bytes but the trace decide. Without candidates nothing is read; what cannot be read is equal to nothing, and is
 * copied.
 */
import type { AccountId } from "../core/ids.ts";
import type { BlobStore } from "../core/ports/blobs.ts";
import type { ImportCandidate, ImportMessage, ImportStore } from "../core/ports/transfer.ts";

/** Of a message without what a server puts on top of it; `transfer/comparable.ts`. */
export type ComparableOf = (chunks: AsyncIterable<Uint8Array>) => Promise<{ readonly digest: string }>;

export interface RecognizeOptions {
  readonly store: Pick<ImportStore, "candidates">;
  readonly blobs: Pick<BlobStore, "get">;
  readonly comparableOf: ComparableOf;
}

/** @param messages  their blobs are durable */
export async function recognize(
  { store, blobs, comparableOf }: RecognizeOptions,
  { account, mailbox }: { readonly account: AccountId; readonly mailbox: string },
  messages: readonly ImportMessage[],
): Promise<readonly ImportMessage[]> {
  const candidates = await store.candidates(account, mailbox, messages);
  const digests = new Map<number, string | undefined>();
  const free = new Set(candidates.flat().map(({ uid }) => uid));
  const digestOf = async (chunks: AsyncIterable<Uint8Array>) =>
    (await comparableOf(chunks).catch(() => undefined))?.digest;
  const digestHere = async (candidate: ImportCandidate) => {
    if (!digests.has(candidate.uid)) digests.set(candidate.uid, await digestOf(wholeOf(blobs, candidate)));
    return digests.get(candidate.uid);
  };
  const known: ImportMessage[] = [];
  for (const [i, message] of messages.entries()) {
    const open = (candidates[i] ?? []).filter(({ uid }) => free.has(uid));
    const wanted = open.length === 0 ? undefined : await digestOf(blobs.get(message.digest));
    let standsFor: number | undefined;
    for (const candidate of open) {
      if (wanted === undefined || (await digestHere(candidate)) !== wanted) continue;
      standsFor = candidate.uid;
      free.delete(standsFor);
      break;
    }
    known.push(standsFor === undefined ? message : { ...message, standsFor });
  }
  return known;
}

async function* wholeOf(
  blobs: Pick<BlobStore, "get">,
  { prefix, digest }: ImportCandidate,
): AsyncIterable<Uint8Array> {
  if (prefix.length > 0) yield prefix;
  yield* blobs.get(digest);
}
