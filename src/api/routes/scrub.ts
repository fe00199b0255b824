/**
 * `POST /api/v1/admin/scrub`: a run that may take hours, as lines of JSON while it goes on. What is wrong before the first line is a
 * problem document; later it is the last line. A client that goes away ends the run.
 */
import { Readable } from "node:stream";
import { messageOf, toMairustError } from "../../core/errors.ts";
import { blobDigest } from "../../core/ids.ts";
import type { ScrubCounts, ScrubItem } from "../../core/ports/scrub.ts";
import type { ServicePorts } from "../../services/ports.ts";
import { scrubStore } from "../../services/scrub.ts";
import { type ScrubCountsBody, type ScrubLine, scrubRoutes } from "../../wire/api/scrub.ts";
import type { App } from "../app-type.ts";

const BYTES_PER_MB = 1_048_576;

export function scrubRoutesOf(app: App, ports: ServicePorts): void {
  app.post("/api/v1/admin/scrub", { schema: scrubRoutes.run }, async (request, reply) => {
    const { quick = false, mb_per_s: rate, after } = request.query;
    const items = scrubStore(ports, {
      quick,
      bytesPerSecond: rate === undefined ? undefined : rate * BYTES_PER_MB,
      after: after === undefined ? undefined : blobDigest(after),
    })[Symbol.asyncIterator]();
    // Before the status is sent: a run that is refused is a problem document.
    const first = await items.next();
    return reply
      .header("content-type", "application/x-ndjson")
      .send(Readable.from(linesOf(first, items), { objectMode: false }));
  });
}

async function* linesOf(
  first: IteratorResult<ScrubItem>,
  items: AsyncIterator<ScrubItem>,
): AsyncGenerator<string> {
  try {
    for (let next = first; next.done !== true; next = await items.next()) {
      yield `${JSON.stringify(lineOf(next.value))}\n`;
    }
  } catch (error) {
    const failure = toMairustError(error, "scrub");
    const line: ScrubLine = { kind: "failed", code: failure.code, detail: messageOf(failure) };
    yield `${JSON.stringify(line)}\n`;
  } finally {
    await items.return?.();
  }
}

function lineOf(item: ScrubItem): ScrubLine {
  switch (item.kind) {
    case "finding": {
      const { kind: finding, subject, detail } = item.finding;
      return { kind: "finding", finding, subject, detail };
    }
    case "progress":
      return { kind: "progress", after: item.after ?? null, counts: countsBodyOf(item.counts) };
    case "done":
      return { kind: "done", counts: countsBodyOf(item.counts) };
  }
}

function countsBodyOf(counts: Readonly<ScrubCounts>): ScrubCountsBody {
  return {
    blobs: counts.blobs,
    hashed_bytes: counts.hashedBytes,
    messages: counts.messages,
    mailboxes: counts.mailboxes,
    accounts: counts.accounts,
    unreferenced_blobs: counts.unreferencedBlobs,
    collecting_blobs: counts.collectingBlobs,
    extra_files: counts.extraFiles,
    extra_bytes: counts.extraBytes,
    young_files: counts.youngFiles,
    strange_files: counts.strangeFiles,
    temporary_files: counts.temporaryFiles,
    findings: counts.findings,
  };
}
