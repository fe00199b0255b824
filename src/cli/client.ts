/**
 * The way to the running service: HTTP over the UNIX socket that the configuration names. A service that is not there is told
 * apart from one that refuses, and the socket is named: exit 69 and 77.
 */
import { type IncomingHttpHeaders, type IncomingMessage, request } from "node:http";
import { userInfo } from "node:os";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { type LoadedConfig, type LoadOptions, loadConfig } from "../platform/config/load.ts";
import { deadlineAfter } from "../platform/deadline.ts";
import type { Problem } from "../wire/api/common.ts";
import { CommandError, EXIT, exitCodeOf, serviceAway } from "./exit-codes.ts";
import { printable } from "./text.ts";

export interface CallOptions {
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  /** Sent as JSON. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as message/rfc822; an error of the stream cuts the request. */
  readonly message?: Readable;
  /** What `message` is instead. */
  readonly messageType?: string;
  /** Statuses above 399 whose JSON body is an answer and no problem. */
  readonly accept?: readonly number[];
}

export interface Answer<T> {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: T;
}

/** Without an answer after this the command gives up; uploads and downloads may take longer once they run. */
const ANSWER_MS = 60_000;
const UPLOAD_MS = 600_000;
/** Largest JSON answer. */
const MAX_JSON_BYTES = 67_108_864;
/** What a write says when the other end has closed: the service was there, so it is not "away". */
const BROKEN_OFF: ReadonlySet<unknown> = new Set(["EPIPE", "ECONNRESET", "ERR_STREAM_PREMATURE_CLOSE"]);

/** For the audit log. */
const ACTOR_HEADER = "x-mairust-actor";

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    // A uid without an entry in the system's list of users.
    return `uid${process.getuid?.() ?? ""}`;
  }
}

export class Client {
  readonly #socketPath: string;

  constructor(socketPath: string) {
    this.#socketPath = socketPath;
  }

  get<T>(path: string, options: CallOptions = {}): Promise<Answer<T>> {
    return this.#json<T>("GET", path, options);
  }

  post<T>(path: string, options: CallOptions = {}): Promise<Answer<T>> {
    return this.#json<T>("POST", path, options);
  }

  put<T>(path: string, options: CallOptions = {}): Promise<Answer<T>> {
    return this.#json<T>("PUT", path, options);
  }

  patch<T>(path: string, options: CallOptions = {}): Promise<Answer<T>> {
    return this.#json<T>("PATCH", path, options);
  }

  delete<T>(path: string, options: CallOptions = {}): Promise<Answer<T>> {
    return this.#json<T>("DELETE", path, options);
  }

  /** Bytes as they come. @throws {CommandError} before the first byte when the service refuses */
  async stream(path: string, options: CallOptions = {}): Promise<Answer<IncomingMessage>> {
    const response = await this.#send("GET", path, options);
    if ((response.statusCode ?? 0) >= 400) throw problemError(await readJson(response));
    return { status: response.statusCode ?? 0, headers: response.headers, body: response };
  }

  async #json<T>(method: string, path: string, options: CallOptions): Promise<Answer<T>> {
    const response = await this.#send(method, path, options);
    const status = response.statusCode ?? 0;
    const body = await readJson(response);
    // Answered before it had everything: what is left of the message is of no use.
    if (options.message !== undefined) options.message.destroy();
    if (status >= 400 && options.accept?.includes(status) !== true) throw problemError(body);
    return { status, headers: response.headers, body: body as T };
  }

  async #send(method: string, path: string, options: CallOptions): Promise<IncomingMessage> {
    const url = new URL(path, "http://localhost");
    for (const [name, value] of Object.entries(options.query ?? {})) {
      if (value !== undefined) url.searchParams.set(name, String(value));
    }
    const json = options.body === undefined ? undefined : JSON.stringify(options.body);
    const type =
      options.message === undefined ? "application/json" : (options.messageType ?? "message/rfc822");
    const deadline = deadlineAfter(options.message === undefined ? ANSWER_MS : UPLOAD_MS);
    const sent = request({
      socketPath: this.#socketPath,
      method,
      path: url.pathname + url.search,
      signal: deadline.signal,
      headers: {
        ...(json === undefined && options.message === undefined ? {} : { "content-type": type }),
        [ACTOR_HEADER]: userName(),
        ...options.headers,
      },
    });
    const answered = new Promise<IncomingMessage>((resolve, reject) => {
      sent.once("response", resolve);
      sent.on("error", reject);
    });
    try {
      if (options.message === undefined) sent.end(json);
      else await Promise.race([answered, upload(options.message, sent)]);
      return await answered;
    } catch (error) {
      throw this.#explain(error, deadline.signal.aborted, options.message !== undefined);
    } finally {
      deadline.dispose();
    }
  }

  #explain(error: unknown, timedOut: boolean, isUpload: boolean): unknown {
    const socket = this.#socketPath;
    if (error instanceof CommandError) return error;
    if (timedOut)
      return new CommandError(EXIT.tryLater, `the service at ${socket} gave no answer in time`, error);
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "EACCES" || code === "EPERM") {
      const text = `this user may not use ${socket}; run the command as the user of the service, or as root`;
      return new CommandError(EXIT.notAllowed, text, error);
    }
    if (isUpload && BROKEN_OFF.has(code)) {
      const text = `the service at ${socket} broke off the upload (${code}); its log says why, and whether the message is stored`;
      return new CommandError(EXIT.tryLater, text, error);
    }
    return serviceAway(socket, error);
  }
}

/** Resolves when all is sent; a broken source cuts the request, so that half a message is never taken for a whole one. */
async function upload(source: Readable, sent: NodeJS.WritableStream): Promise<never> {
  try {
    await pipeline(source, sent);
  } catch (error) {
    const errno = error instanceof Error && "code" in error ? error.code : undefined;
    // The service answered before it had everything (too large), and reads on for a while: the answer says why.
    if (!BROKEN_OFF.has(errno))
      throw new CommandError(EXIT.inputOutput, "cannot read the message from standard input", error);
  }
  return new Promise<never>(() => undefined);
}

async function readJson(response: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_JSON_BYTES) throw new CommandError(EXIT.bug, "the service's answer is too large");
    chunks.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString("utf8"));
  } catch (error) {
    throw new CommandError(EXIT.bug, `the service gave no JSON (status ${response.statusCode})`, error);
  }
}

function isProblem(body: unknown): body is Problem {
  return typeof body === "object" && body !== null && "code" in body && "title" in body;
}

/** The problem document as text for people, and its exit code. */
function problemError(body: unknown): CommandError {
  if (!isProblem(body)) return new CommandError(EXIT.bug, "the service refused without saying why");
  const lines = [
    printable(body.detail ?? body.title),
    ...(body.errors ?? []).map(error => `  ${printable(error.pointer)}: ${printable(error.detail)}`),
    ...(exitCodeOf(body.code) === EXIT.bug
      ? [`  trace id in the log of the service: ${printable(body.trace_id)}`]
      : []),
  ];
  return new CommandError(exitCodeOf(body.code), lines.join("\n"));
}

/** @throws {CommandError} 78: no UNIX socket is configured; {ConfigError} when the configuration is wrong */
export async function connect(options: LoadOptions): Promise<{ client: Client; loaded: LoadedConfig }> {
  const loaded = await loadConfig(options);
  const spec = loaded.config.api.listen.find(one => one.startsWith("unix:"));
  if (spec === undefined) {
    const text = "api.listen has no UNIX socket, and other ways to the service are not built in this version";
    throw new CommandError(EXIT.configuration, text);
  }
  return { client: new Client(spec.slice("unix:".length)), loaded };
}

/** One segment of a path. */
export const segment = encodeURIComponent;
