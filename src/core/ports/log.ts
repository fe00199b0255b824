/** The log as every folder sees it; `platform/log.ts` implements it. */

/** Values that may stand in a log line: never bodies, subjects or secrets. */
export type LogFields = Readonly<Record<string, string | number | boolean | null | undefined | Error>>;

export interface Log {
  debug(event: string, fields?: LogFields): void;
  info(event: string, fields?: LogFields): void;
  warn(event: string, fields?: LogFields): void;
  error(event: string, fields?: LogFields): void;
  /** A log whose lines all carry `fields` (e.g. `queue_id`). */
  child(fields: LogFields): Log;
}
