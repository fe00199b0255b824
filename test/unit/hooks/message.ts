/** A message and the facts of it as hooks get them, from its source text. */

import assert from "node:assert/strict";
import { blobDigest, messageId } from "../../../src/core/ids.ts";
import { packStructure } from "../../../src/core/mime/packed.ts";
import { MessageScanner } from "../../../src/core/mime/scanner.ts";
import type { ByteRange, StagedBlob } from "../../../src/core/ports/blobs.ts";
import type { HookDecision, HookDecisions, MessageFacts } from "../../../src/core/ports/hooks.ts";

/** A message in memory behind the port of staged blobs; counts the octets that were read. */
export class MemoryBlob implements StagedBlob {
  readonly digest = blobDigest("00");
  readonly sizeBytes: number;
  octetsRead = 0;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.sizeBytes = bytes.byteLength;
  }

  async *read(range: ByteRange = { start: 0, end: this.sizeBytes }): AsyncIterable<Uint8Array> {
    const octets = this.#bytes.subarray(range.start, range.end);
    this.octetsRead += octets.length;
    yield octets;
  }

  async persist() {
    return {
      digest: this.digest,
      sizeBytes: this.sizeBytes,
      storedBytes: this.sizeBytes,
      codec: "none" as const,
      putAt: { steadyMs: 0, wallMs: 0 },
    };
  }

  async discard(): Promise<void> {}
}

/** The decision for the only recipient, with what belongs to the run. */
export function theOne(decisions: HookDecisions): HookDecision & Omit<HookDecisions, "each"> {
  const { each, ...run } = decisions;
  const [decision, ...others] = each.values();
  assert.ok(decision !== undefined && others.length === 0, `${each.size} recipients`);
  return { ...decision, ...run };
}

/** @param source  lines may end in LF: they become CRLF */
export function factsOf(
  source: string | Uint8Array,
  change: Partial<MessageFacts> = {},
): MessageFacts & { readonly content: MemoryBlob } {
  const bytes = typeof source === "string" ? Buffer.from(source.replace(/\r?\n/g, "\r\n")) : source;
  const scanner = new MessageScanner();
  scanner.write(bytes);
  const structure = scanner.end();
  return {
    messageId: messageId("0190a000-0000-7000-8000-00000000000a"),
    receivedAt: new Date("2026-03-01T12:00:00Z"),
    sizeBytes: bytes.byteLength,
    queueId: "4XyZ1234",
    direction: "inbound",
    stage: "store",
    mailFrom: "sender@example.org",
    recipients: ["user@example.com"],
    account: "user@example.com",
    client: { address: "192.0.2.7", name: "mx.example.org", helo: "mx.example.org" },
    authUser: undefined,
    header: structure.headerHead,
    structure: packStructure(structure),
    threadKey: undefined,
    tags: [],
    observed: new Set(),
    tls: undefined,
    ...change,
    content: new MemoryBlob(bytes),
  };
}
