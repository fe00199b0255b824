/**
 * The log: one event per line, JSON (pino) or syslog-like text, to standard output, standard error or a file. Lines are written
 * asynchronously in bulk; `flush()` writes what waits, and the process flushes when it exits. When the output cannot take more
 * than {@link MAX_BUFFERED_BYTES}, lines are dropped and counted: mail never waits for its log.
 */
import { randomBytes } from "node:crypto";
import { mkdirSync, openSync } from "node:fs";
import { dirname } from "node:path";
import { pid } from "node:process";
import { pino } from "pino";
import { messageOf } from "../core/errors.ts";
import type { Log, LogFields } from "../core/ports/log.ts";
import {
  type AddressRule,
  hashAddress,
  LOGIN_FAILED,
  type SafeFields,
  safeFields,
  safeText,
  showAddress,
  textLine,
} from "./log-text.ts";

export { LOGIN_FAILED } from "./log-text.ts";

export type LogLevel = "debug" | "info" | "warn" | "error";

/** The `[log]` section. */
export interface LogSettings {
  readonly level: LogLevel;
  readonly format: "json" | "text";
  readonly hash_addresses: boolean;
}

export interface LogOptions extends LogSettings {
  /** File descriptor (default 1), or the path of a file. */
  readonly destination?: number | string;
  /** Where lines go instead (tests). */
  readonly write?: (line: string) => void;
  /** Key of the address hash; default: random, so that hashes of two runs differ. */
  readonly hashKey?: Uint8Array;
}

/** The log of the process. */
export interface RootLog extends Log {
  /** Change level, format and hashing of this log and all its children. */
  configure(settings: LogSettings): void;
  /** Write what waits, now. */
  flush(): void;
  /** Flush, and close a file that was given by its path. */
  close(): void;
  /** Lines that could not be written since the start. */
  dropped(): number;
}

/** Most bytes that wait for a slow output. */
const MAX_BUFFERED_BYTES = 16 * 1024 * 1024;
const RANK: Readonly<Record<LogLevel, number>> = { debug: 0, info: 1, warn: 2, error: 3 };

type Sink = (level: LogLevel, event: string, fields: SafeFields) => void;

export function createLog(options: LogOptions): RootLog {
  const output =
    options.write === undefined ? fileOutput(options.destination ?? 1) : callbackOutput(options.write);
  return new FieldLog(new Core(options, output), {});
}

interface Output {
  write(line: string): void;
  flush(): void;
  close(): void;
  dropped(): number;
}

function callbackOutput(write: (line: string) => void): Output {
  return { write, flush: () => {}, close: () => {}, dropped: () => 0 };
}

function fileOutput(dest: number | string): Output {
  if (typeof dest === "string") mkdirSync(dirname(dest), { recursive: true });
  // Opened here, so that it is ready at once and `flush()` never comes too early.
  const fd = typeof dest === "string" ? openSync(dest, "a", 0o640) : dest;
  const stream = pino.destination({ dest: fd, sync: false, maxLength: MAX_BUFFERED_BYTES });
  const lost = { lines: 0 };
  const count = () => {
    lost.lines++;
  };
  stream.on("drop", count);
  // A closed pipe or a full disk must not end the service; nothing is left to write it to.
  stream.on("error", count);
  const flush = () => {
    try {
      stream.flushSync();
    } catch {
      count(); // the reader is gone
    }
  };
  const close = () => {
    flush();
    if (fd !== dest) stream.destroy();
  };
  return { write: line => stream.write(line), flush, close, dropped: () => lost.lines };
}

/** What a log shares with all its children. */
class Core {
  readonly output: Output;
  readonly #hashKey: Uint8Array;
  #minimum = RANK.info;
  #rule: AddressRule = showAddress;
  #sink: Sink;

  constructor(options: LogOptions, output: Output) {
    this.output = output;
    this.#hashKey = options.hashKey ?? randomBytes(32);
    this.#sink = jsonSink(output);
    this.configure(options);
  }

  configure(settings: LogSettings): void {
    this.#minimum = RANK[settings.level];
    this.#rule = settings.hash_addresses ? hashAddress(this.#hashKey) : showAddress;
    this.#sink = settings.format === "json" ? jsonSink(this.output) : textSink(this.output);
  }

  log(level: LogLevel, event: string, bound: LogFields, fields: LogFields | undefined): void {
    if (RANK[level] < this.#minimum) return;
    try {
      const safe = safeFields(fields === undefined ? bound : { ...bound, ...fields }, this.#rule);
      this.#sink(level, safeText(event, this.#rule), safe);
    } catch (error) {
      this.output.write(`log line lost: ${messageOf(error)}\n`);
    }
  }
}

function jsonSink(output: Output): Sink {
  const logger = pino(
    {
      level: "debug",
      base: null,
      messageKey: "event",
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: label => ({ level: label }) },
    },
    output,
  );
  return (level, event, fields) => {
    // One search pattern for both formats.
    const text = event === LOGIN_FAILED ? textLine(event, loginFields(fields)) : event;
    logger[level](Object.fromEntries(fields), text);
  };
}

function loginFields(fields: SafeFields): SafeFields {
  return fields.filter(([name]) => name === "service" || name === "user" || name === "ip");
}

function textSink(output: Output): Sink {
  return (level, event, fields) => {
    output.write(`${new Date().toISOString()} mairust[${pid}]: ${level}: ${textLine(event, fields)}\n`);
  };
}

class FieldLog implements RootLog {
  readonly #core: Core;
  readonly #fields: LogFields;

  constructor(core: Core, fields: LogFields) {
    this.#core = core;
    this.#fields = fields;
  }

  debug(event: string, fields?: LogFields): void {
    this.#core.log("debug", event, this.#fields, fields);
  }

  info(event: string, fields?: LogFields): void {
    this.#core.log("info", event, this.#fields, fields);
  }

  warn(event: string, fields?: LogFields): void {
    this.#core.log("warn", event, this.#fields, fields);
  }

  error(event: string, fields?: LogFields): void {
    this.#core.log("error", event, this.#fields, fields);
  }

  child(fields: LogFields): Log {
    return new FieldLog(this.#core, { ...this.#fields, ...fields });
  }

  configure(settings: LogSettings): void {
    this.#core.configure(settings);
  }

  flush(): void {
    this.#core.output.flush();
  }

  close(): void {
    this.#core.output.close();
  }

  dropped(): number {
    return this.#core.output.dropped();
  }
}
