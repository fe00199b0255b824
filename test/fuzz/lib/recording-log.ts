/** A log that keeps what went wrong. */
import type { Log, LogFields } from "../../../src/core/ports/log.ts";

export interface RecordingLog {
  readonly log: Log;
  /** Event and fields of each `error` line. */
  readonly errors: string[];
}

export function recordingLog(): RecordingLog {
  const errors: string[] = [];
  const silent = () => undefined;
  const log: Log = {
    debug: silent,
    info: silent,
    warn: silent,
    error: (event: string, fields?: LogFields) => {
      const cause = fields?.error;
      errors.push(
        `${event} ${cause instanceof Error ? (cause.stack ?? cause.message) : JSON.stringify(fields)}`,
      );
    },
    child: () => log,
  };
  return { log, errors };
}
