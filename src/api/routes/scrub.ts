/** `/api/v1/admin/scrub`: whether database and blobs agree, as lines of JSON while it runs. */
import { Readable } from "node:stream";
import type { FastifyRequest } from "fastify";
import { toMairustError } from "../../core/errors.ts";
import type { Log } from "../../core/ports/log.ts";
import type { ScrubStep } from "../../core/ports/scrub.ts";
import type { ServicePorts } from "../../services/ports.ts";
import { scrub } from "../../services/scrub.ts";
import { scrubRoutes as routes, type ScrubLine } from "../../wire/api/scrub.ts";
import type { App } from "../app-type.ts";
import { problemOf } from "../problem.ts";

export function scrubRoutesOf(app: App, ports: ServicePorts, log: Log): void {
  app.get("/api/v1/admin/scrub", { schema: routes.scrub }, async (request, reply) => {
    const gone = new AbortController();
    request.raw.socket.once("close", () => gone.abort());
    const steps = scrub(ports, { quick: request.query.quick === true, signal: gone.signal });
    return reply.type("application/x-ndjson").send(Readable.from(lines(steps, request, log)));
  });
}

async function* lines(
  steps: AsyncIterable<ScrubStep>,
  request: FastifyRequest,
  log: Log,
): AsyncGenerator<string> {
  try {
    for await (const step of steps) yield `${JSON.stringify(lineOf(step))}\n`;
  } catch (error) {
    // The status went out before the first line: the failure has to be a line too.
    log.error("scrub broken off", { trace_id: request.id, error: toMairustError(error, "scrub") });
    const { title, detail } = problemOf(error, request.id, request.headers["accept-language"]);
    yield `${JSON.stringify({ failed: detail ?? title } satisfies ScrubLine)}\n`;
  }
}

function lineOf(step: ScrubStep): ScrubLine {
  switch (step.step) {
    case "progress":
      return { progress: { done: step.done, total: step.total } };
    case "finding":
      return { finding: step.finding };
    case "summary": {
      const { filesWithoutRow, ...rest } = step.summary;
      return { summary: { ...rest, files_without_row: filesWithoutRow } };
    }
  }
}
