// The SDK for plugins of MaiRust Sidecar in Node (20.19 or later): one file, no dependency. Lay it beside the plugin, in its package.
// A plugin says what to do at a hook point; the rest is here: the lines of a worker, one process for each call, a web server that
// checks signatures. What fails in a handler is answered with the action "error", which no host knows: that voids the answer, and the
// hook's on_error decides. The SDK for Python is the same in the same order; README.md holds both together.
// @ts-check
import { createHmac, timingSafeEqual } from "node:crypto";
import { readFileSync, realpathSync, rmSync } from "node:fs";
import { createServer, request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { isIP } from "node:net";
import { dirname, join } from "node:path";
import { connect as tlsConnect } from "node:tls";
import { fileURLToPath } from "node:url";

export const POINTS = /** @type {const} */ (["pre_receive", "pre_delivery", "post_receive", "pre_send"]);
export const PERMANENT_CODES = /** @type {const} */ ([550, 552, 553, 554]);
export const TEMPORARY_CODES = /** @type {const} */ ([450, 451, 452]);
// A symbol of the process, so that two copies of this file know of each other.
const OUTPUT = Symbol.for("mairust.output");
/** @type {readonly string[]} */
const LEVELS = ["trace", "debug", "info", "warn", "error"];

/** Longest payload that a host sends. */
const MAX_PAYLOAD_BYTES = 16 * 1024 * 1024;
/** Longest answer of a server that a plugin asks, unless `fetch` is told otherwise. */
const MAX_FETCHED_BYTES = 1024 * 1024;
/** Of a call's time, kept back by `fetch`: what it takes to answer the host. */
const RESERVE_MS = 50;
/** How old, or how early, a signed request may be. */
const TOLERANCE_S = 300;
/** As many as a host opens. */
const MAX_CONNECTIONS = 256;
/** The host cuts longer lines of a log. */
const MAX_LOG_LINE = 4000;

// The host has started us: whatever is printed from now on is no answer. Elsewhere `run()` sees to it.
if (process.env.MAIRUST_PLUGIN_ID !== undefined) protocolOutput();

// ---------------------------------------------------------------------------------------------------------------- message

/** @typedef {"pre_receive" | "pre_delivery" | "post_receive" | "pre_send"} Point */
/** @typedef {{ name: string, value: string }} Header */
/** @typedef {{ mail_from: string, rcpt_to: string[], client_ip: string | null, client_name: string | null, helo: string | null, tls: boolean | null, auth_user: string | null, queue_id: string | null }} Envelope */
/** @typedef {"none" | "pass" | "fail" | "softfail" | "neutral" | "temperror" | "permerror" | "policy"} AuthResult */
/** @typedef {{ result: AuthResult, detail: string | null }} AuthCheck */
/** @typedef {{ spf: AuthCheck, dkim: AuthCheck, dmarc: AuthCheck, arc: AuthCheck }} Auth */
/** @typedef {{ direction: "inbound" | "outbound", stage: "observe" | "hooks" | "mirror" | "store", tags: string[], thread_id: string | null, account: string | null }} Context */
/** @typedef {{ text: string, truncated: boolean, source: "plain" | "html", charset_declared: string | null, charset_used: string, decode_errors: number }} Preview */
/** @typedef {{ type: "text/plain" | "text/html", text: string, truncated: boolean, charset_declared: string | null, charset_used: string }} BodyPart */
/** @typedef {{ index: number, filename: string | null, content_type: string, size_bytes: number, disposition: string | null, content_id: string | null, sha256?: string, preview_base64?: string, preview_truncated?: boolean, content_base64?: string | null, content_url?: string | null }} Attachment */
/** @typedef {{ plugin_id: string, hook: string, changes: string[] }} Provenance */
/** @typedef {string | number | boolean} SettingValue */

/**
 * What a plugin is sent for a call: `hook-1.schema.json`. A key that the grants do not cover is absent.
 * @typedef {object} Payload
 * @property {"mairust.hook/1"} api
 * @property {string} call_id
 * @property {Point} hook
 * @property {"shadow" | "enforce"} mode
 * @property {number} attempt
 * @property {number} deadline_ms
 * @property {{ id: string, version: string }} plugin
 * @property {string} received_at
 * @property {number} size_bytes
 * @property {Record<string, SettingValue>} settings
 * @property {Provenance[]} [provenance]
 * @property {Header[]} [headers]
 * @property {boolean} [headers_truncated]
 * @property {Envelope} [envelope]
 * @property {Auth} [auth]
 * @property {Context} [context]
 * @property {Preview | null} [body_preview]
 * @property {BodyPart[]} [body]
 * @property {Attachment[]} [attachments]
 * @property {boolean} [mime_truncated]
 */

/** One message, as far as the administrator lets the plugin see it. What was not granted reads as empty; `granted` tells. */
export class Message {
  /** @param {Payload} payload */
  constructor(payload) {
    /** The payload as it came. @readonly */
    this.payload = payload;
  }

  /** Whether the grants cover this key of the payload. @param {keyof Payload} key */
  granted(key) {
    return Object.hasOwn(this.payload, key);
  }

  /** Top to bottom, decoded. */
  get headers() {
    return this.payload.headers ?? [];
  }

  /** The first field of that name, in any case; "" when there is none. @param {string} name */
  header(name) {
    return this.headerAll(name)[0] ?? "";
  }

  /** The values of all fields of that name. @param {string} name */
  headerAll(name) {
    const wanted = name.toLowerCase();
    return this.headers.filter(header => header.name.toLowerCase() === wanted).map(header => header.value);
  }

  get headersTruncated() {
    return this.payload.headers_truncated ?? false;
  }

  get subject() {
    return this.header("subject");
  }

  /** The field From, not the sender of the envelope. */
  get from() {
    return this.header("from");
  }

  get envelope() {
    return this.payload.envelope;
  }

  /** The host's own checks of SPF, DKIM, DMARC, ARC. */
  get auth() {
    return this.payload.auth;
  }

  get context() {
    return this.payload.context;
  }

  /** Tags so far, those of the plugins before this one among them. */
  get tags() {
    return this.payload.context?.tags ?? [];
  }

  /** Who changed what before. */
  get provenance() {
    return this.payload.provenance ?? [];
  }

  /** The first text, at most 4096 bytes; null: none, or not granted. */
  get preview() {
    return this.payload.body_preview ?? null;
  }

  /** Every text part; with less than read_body = "full": none. */
  get body() {
    return this.payload.body ?? [];
  }

  /** The text as plain as it is at hand: the text/plain parts of the whole body, else the preview. */
  get text() {
    const plain = this.body.filter(part => part.type === "text/plain").map(part => part.text);
    return plain.length > 0 ? plain.join("\n") : (this.preview?.text ?? "");
  }

  get attachments() {
    return this.payload.attachments ?? [];
  }

  /** Its bytes: all, or the first 4096, or null, as granted and as large as it is. @param {Attachment} attachment */
  bytesOf(attachment) {
    const base64 = attachment.content_base64 ?? attachment.preview_base64;
    return base64 === undefined ? null : Buffer.from(base64, "base64");
  }

  /** Parts were left out of the body or the attachments. */
  get mimeTruncated() {
    return this.payload.mime_truncated ?? false;
  }

  /** RFC 3339. */
  get receivedAt() {
    return this.payload.received_at;
  }

  get sizeBytes() {
    return this.payload.size_bytes;
  }
}

// ---------------------------------------------------------------------------------------------------------------- verdict

/** @typedef {{ input_tokens?: number, output_tokens?: number, cost_usd?: number, model?: string }} Usage */

/**
 * What a plugin answers: `answer-1.schema.json`.
 * @typedef {object} Answer
 * @property {string} [call_id]
 * @property {"deliver" | "allow" | "reject" | "tempfail" | "hold"} [action]
 * @property {550 | 552 | 553 | 554 | 450 | 451 | 452} [code]
 * @property {boolean} [permanent]
 * @property {string} [reason]
 * @property {{ add?: string[], remove?: string[] }} [tags]
 * @property {{ add?: string[], remove?: string[] }} [flags]
 * @property {string} [folder]
 * @property {Record<string, unknown>} [metadata]
 * @property {{ add?: [string, string][] }} [headers]
 * @property {{ plain?: string, html?: string }} [append_text]
 * @property {{ add_bcc?: string[] }} [recipients]
 * @property {Usage} [usage]
 * @property {string} [explanation]
 * @property {("sender" | "recipients.remove" | "contents" | "headers.change" | "headers.remove")[]} [unsupported]  of answers that the host translates; nothing here makes it
 * @property {boolean} [defer]
 */

/**
 * The answer, piece by piece; untouched it delivers the message unchanged. What would void the whole answer (a wrong type, a code of
 * the other kind) throws here, where the mistake is. What goes beyond the grant or a rule the host drops alone and counts.
 */
export class Verdict {
  /** @type {Answer} */
  #answer = {};

  /** @param {string} [callId] */
  constructor(callId) {
    if (callId !== undefined) this.#answer.call_id = callId;
  }

  deliver() {
    return this.#decide("deliver");
  }

  /** Refuse for good. @param {string} [reason] @param {550 | 552 | 553 | 554} [code] */
  reject(reason, code) {
    if (code !== undefined && !PERMANENT_CODES.includes(code))
      throw new RangeError(`reject takes no code ${code}`);
    return this.#decide("reject", reason, code);
  }

  /** Refuse for now: the sender tries again. @param {string} [reason] @param {450 | 451 | 452} [code] */
  tempfail(reason, code) {
    if (code !== undefined && !TEMPORARY_CODES.includes(code))
      throw new RangeError(`tempfail takes no code ${code}`);
    return this.#decide("tempfail", reason, code);
  }

  /** Keep it until a person decides. @param {string} [reason] */
  hold(reason) {
    return this.#decide("hold", reason);
  }

  /** @param {...string} names */
  tag(...names) {
    return this.#put("tags", "add", names);
  }

  /** @param {...string} names */
  untag(...names) {
    return this.#put("tags", "remove", names);
  }

  /** `\Seen`, `\Flagged`, `\Answered` and keywords. @param {...string} names */
  flag(...names) {
    return this.#put("flags", "add", names);
  }

  /** @param {...string} names */
  unflag(...names) {
    return this.#put("flags", "remove", names);
  }

  /** File it there. @param {string} name */
  folder(name) {
    this.#answer.folder = text(name, "folder");
    return this;
  }

  /** Kept with the message under `plugin:<id>:<key>`. @param {string} key @param {unknown} value  what JSON can hold */
  metadata(key, value) {
    if (JSON.stringify(value) === undefined || (typeof value === "number" && !Number.isFinite(value)))
      throw new TypeError(`metadata "${key}" is no value of JSON`);
    this.#answer.metadata ??= {};
    Object.defineProperty(this.#answer.metadata, text(key, "a metadata key"), {
      ...{ value, enumerable: true, configurable: true, writable: true },
    });
    return this;
  }

  /** Add a field `X-…`. @param {string} name @param {string} value */
  header(name, value) {
    this.#answer.headers ??= {};
    this.#answer.headers.add ??= [];
    this.#answer.headers.add.push([text(name, "a field name"), text(value, "a field")]);
    return this;
  }

  /** At the end of mail that is sent. @param {{ plain?: string, html?: string }} texts */
  appendText({ plain, html }) {
    this.#answer.append_text = {
      ...(plain === undefined ? {} : { plain: text(plain, "append_text.plain") }),
      ...(html === undefined ? {} : { html: text(html, "append_text.html") }),
    };
    return this;
  }

  /** Blind copies of mail that is sent, to addresses that the administrator named. @param {...string} addresses */
  bcc(...addresses) {
    this.#answer.recipients ??= { add_bcc: [] };
    this.#answer.recipients.add_bcc?.push(...addresses.map(address => text(address, "an address")));
    return this;
  }

  /** What the call cost; `call.budget.spend` sums several requests up. @param {Usage} usage */
  usage({ input_tokens, output_tokens, cost_usd, model }) {
    /** @type {Usage} */
    const kept = {};
    for (const [key, value] of Object.entries({ input_tokens, output_tokens, cost_usd })) {
      if (value === undefined) continue;
      if (!(Number.isFinite(value) && value >= 0)) throw new RangeError(`usage.${key} is not 0 or more`);
      Object.assign(kept, { [key]: value });
    }
    if (model !== undefined) kept.model = text(model, "usage.model");
    this.#answer.usage = kept;
    return this;
  }

  /** Why, for people. Never for programs: it is shown as untrusted text. @param {string} why */
  explain(why) {
    this.#answer.explanation = text(why, "an explanation");
    return this;
  }

  /** The result comes later by callback. */
  defer() {
    this.#answer.defer = true;
    return this;
  }

  /** @returns {Answer} */
  toJSON() {
    return this.#answer;
  }

  /** @param {NonNullable<Answer["action"]>} action @param {string} [reason] @param {Answer["code"]} [code] */
  #decide(action, reason, code) {
    const { code: _code, reason: _reason, ...rest } = this.#answer;
    this.#answer = {
      ...rest,
      action,
      ...(code === undefined ? {} : { code }),
      ...(reason === undefined ? {} : { reason: text(reason, "a reason") }),
    };
    return this;
  }

  /** @param {"tags" | "flags"} what @param {"add" | "remove"} way @param {string[]} names */
  #put(what, way, names) {
    const kept = this.#answer[what] ?? {};
    const added = names.map(name => text(name, what));
    this.#answer[what] = { ...kept, [way]: [...(kept[way] ?? []), ...added] };
    return this;
  }
}

/** @param {unknown} value @param {string} what */
function text(value, what) {
  if (typeof value !== "string") throw new TypeError(`${what} is not a text`);
  return value;
}

// ------------------------------------------------------------------------------------------------------------------- call

/** A call's time. Waiting for a free worker counts towards it, so ask it instead of counting yourself. */
export class Deadline {
  #endsAt;
  #signal = /** @type {AbortSignal | undefined} */ (undefined);

  /** @param {number} ms */
  constructor(ms) {
    this.#endsAt = performance.now() + ms;
  }

  /** Milliseconds, never below 0. */
  get remainingMs() {
    return Math.max(0, this.#endsAt - performance.now());
  }

  get expired() {
    return this.remainingMs === 0;
  }

  /** Aborts when the time is over: for whatever takes a signal. */
  get signal() {
    this.#signal ??= AbortSignal.timeout(Math.ceil(this.remainingMs));
    return this.#signal;
  }

  /** @throws {DeadlineExceeded} the time is over */
  check() {
    if (this.expired) throw new DeadlineExceeded("the call's time is over");
  }
}

/** A call that fails for a reason that is no bug: one line of the log without a stack. The verdict is void all the same. */
export class CallFailed extends Error {}
export class DeadlineExceeded extends CallFailed {}
export class BudgetExceeded extends CallFailed {}

/**
 * What one call spends on a model. The host keeps the day's accounts from what is reported; the limits here are the plugin's own, for
 * one call: `new Plugin({ budget: { calls: 3, tokens: 4000 } })`.
 */
export class Budget {
  #verdict;
  calls = 0;
  inputTokens = 0;
  outputTokens = 0;
  costUsd = 0;

  /** @param {Verdict} verdict @param {{ calls?: number, tokens?: number }} [limits] */
  constructor(verdict, { calls = Number.POSITIVE_INFINITY, tokens = Number.POSITIVE_INFINITY } = {}) {
    this.#verdict = verdict;
    /** @readonly */
    this.limits = { calls, tokens };
  }

  get tokens() {
    return this.inputTokens + this.outputTokens;
  }

  /** Whether one more request may be made. @param {number} [tokens]  that it will cost */
  allows(tokens = 0) {
    return this.calls < this.limits.calls && this.tokens + tokens <= this.limits.tokens;
  }

  /** One request was made: add it, and report the sum. @param {Usage} usage @throws {BudgetExceeded} it was one too many */
  spend({ input_tokens = 0, output_tokens = 0, cost_usd = 0, model }) {
    this.calls++;
    this.inputTokens += input_tokens;
    this.outputTokens += output_tokens;
    this.costUsd += cost_usd;
    this.#verdict.usage({
      ...{ input_tokens: this.inputTokens, output_tokens: this.outputTokens, cost_usd: this.costUsd },
      ...(model === undefined ? {} : { model }),
    });
    if (this.calls > this.limits.calls || this.tokens > this.limits.tokens)
      throw new BudgetExceeded(`${this.calls} requests, ${this.tokens} tokens: more than one call may spend`);
  }
}

/** Lines for the plugin's log, which is its stderr. Fields are for programs, the message is for people. */
export class Log {
  #config;
  #fields;

  /** @param {{ level?: string, format?: string }} [config]  `[logging]` of the manifest @param {Record<string, unknown>} [fields] */
  constructor({ level = "info", format = "json" } = {}, fields = {}) {
    this.#config = { level, format };
    this.#fields = fields;
  }

  /** @param {string} message @param {Record<string, unknown>} [fields] */
  trace(message, fields) {
    this.#write("trace", message, fields);
  }

  /** @param {string} message @param {Record<string, unknown>} [fields] */
  debug(message, fields) {
    this.#write("debug", message, fields);
  }

  /** @param {string} message @param {Record<string, unknown>} [fields] */
  info(message, fields) {
    this.#write("info", message, fields);
  }

  /** @param {string} message @param {Record<string, unknown>} [fields] */
  warn(message, fields) {
    this.#write("warn", message, fields);
  }

  /** @param {string} message @param {Record<string, unknown>} [fields] */
  error(message, fields) {
    this.#write("error", message, fields);
  }

  /** With more fields on each line. @param {Record<string, unknown>} fields */
  child(fields) {
    return new Log(this.#config, { ...this.#fields, ...fields });
  }

  /** @param {string} level @param {string} message @param {Record<string, unknown>} [fields] */
  #write(level, message, fields) {
    if (LEVELS.indexOf(level) < LEVELS.indexOf(this.#config.level)) return;
    const all = { ...this.#fields, ...fields };
    const line =
      this.#config.format === "text" ? textLine(level, message, all) : jsonLogLine(level, message, all);
    process.stderr.write(`${line}\n`);
  }
}

/** @param {string} level @param {unknown} message @param {Record<string, unknown>} fields */
function jsonLogLine(level, message, fields) {
  const line = JSON.stringify({ level, message: String(message), ...fields });
  // A line that the host cuts would be no JSON any more; six characters are the longest escape of one.
  if (line.length <= MAX_LOG_LINE) return line;
  return JSON.stringify({ level, message: String(message).slice(0, MAX_LOG_LINE / 8), cut: true });
}

/** @param {string} level @param {unknown} message @param {Record<string, unknown>} fields */
function textLine(level, message, fields) {
  const pairs = Object.entries(fields).map(([key, value]) => ` ${key}=${JSON.stringify(value)}`);
  return `${level} ${message}${pairs.join("")}`.replace(/[\r\n\u2028\u2029]+/gu, " ").slice(0, MAX_LOG_LINE);
}

/** What is around a message: settings, time, log, budget, a way out. */
export class Call {
  /** @param {Payload} payload @param {{ verdict: Verdict, log: Log, traceparent: string, budget?: { calls?: number, tokens?: number } }} more */
  constructor(payload, { verdict, log, traceparent, budget }) {
    this.id = payload.call_id;
    this.point = payload.hook;
    /** `shadow`: recorded, nothing applied. */
    this.mode = payload.mode;
    /** 1, 2, … : the same call may come again. */
    this.attempt = payload.attempt;
    /** As the administrator set them, defaults filled in by the host. */
    this.settings = Object.freeze({ ...payload.settings });
    this.deadline = new Deadline(payload.deadline_ms);
    this.budget = new Budget(verdict, budget);
    /** W3C Trace Context where the transport has a place for it, else "". `fetch` passes it on. */
    this.trace = traceparent;
    this.log = log.child({ call_id: payload.call_id });
  }

  /** Ask a server within the call's time: see {@link fetchUrl}. @param {string} url @param {FetchOptions} [options] */
  fetch(url, options = {}) {
    const timeoutMs = Math.min(
      options.timeoutMs ?? Number.POSITIVE_INFINITY,
      this.deadline.remainingMs - RESERVE_MS,
    );
    const headers = this.trace === "" ? options.headers : { traceparent: this.trace, ...options.headers };
    return fetchUrl(url, { ...options, ...(headers === undefined ? {} : { headers }), timeoutMs });
  }
}

// ------------------------------------------------------------------------------------------------------------------ fetch

/** @typedef {{ method?: string, headers?: Record<string, string>, body?: string | Uint8Array, timeoutMs?: number, maxBytes?: number }} FetchOptions */

/** A request without an answer. `kind`: `timeout`, `too_large`, `unreached`. */
export class FetchError extends CallFailed {
  /** @param {"timeout" | "too_large" | "unreached"} kind @param {string} why */
  constructor(kind, why) {
    super(why);
    this.kind = kind;
  }
}

/** The answer to a request, read to its end. */
export class Fetched {
  /** @param {number} status @param {import("node:http").IncomingHttpHeaders} headers @param {Buffer} body */
  constructor(status, headers, body) {
    this.status = status;
    /** Names in lower case. */
    this.headers = headers;
    this.body = body;
  }

  get ok() {
    return this.status >= 200 && this.status < 300;
  }

  get text() {
    return this.body.toString("utf8");
  }

  /** @returns {unknown} @throws {SyntaxError} it is no JSON */
  json() {
    return JSON.parse(this.text);
  }
}

/**
 * One request over a connection of its own. Goes through `HTTPS_PROXY` by CONNECT, http too: the only way out of a sandbox. No
 * redirects; an answer of more than `maxBytes` is an error. Any status is an answer.
 * @param {string} url
 * @param {FetchOptions} [options]
 * @returns {Promise<Fetched>}
 * @throws {FetchError}
 */
export async function fetchUrl(url, options = {}) {
  const { timeoutMs = 30_000, maxBytes = MAX_FETCHED_BYTES } = options;
  const target = new URL(url);
  if (!(timeoutMs > 0)) throw new FetchError("timeout", "no time is left");
  const signal = AbortSignal.timeout(Math.ceil(Math.min(timeoutMs, 2 ** 31 - 1)));
  try {
    const proxy = proxyFor(target);
    const socket = proxy === undefined ? undefined : await tunnel(proxy, target, signal);
    return await exchange(target, { ...options, maxBytes }, socket, signal);
  } catch (error) {
    if (error instanceof FetchError) throw error;
    if (signal.aborted)
      throw new FetchError("timeout", `${target.host} did not answer in ${Math.round(timeoutMs)} ms`);
    throw new FetchError("unreached", `${target.host}: ${error instanceof Error ? error.message : error}`);
  }
}

/** @param {URL} target @returns {URL | undefined} */
function proxyFor(target) {
  const named = process.env.HTTPS_PROXY ?? process.env.https_proxy ?? "";
  if (named === "") return undefined;
  const direct = (process.env.NO_PROXY ?? process.env.no_proxy ?? "").split(",").map(one => one.trim());
  const isDirect = direct.some(
    one =>
      one === "*" || (one !== "" && `.${target.hostname}`.endsWith(one.startsWith(".") ? one : `.${one}`)),
  );
  return isDirect ? undefined : new URL(named);
}

/** @param {URL} target */
function portOf(target) {
  return target.port === "" ? (target.protocol === "https:" ? "443" : "80") : target.port;
}

/** @param {URL} target  its host as sockets want it */
function hostOf(target) {
  return target.hostname.replace(/^\[|\]$/gu, "");
}

/** @param {URL} proxy @param {URL} target @param {AbortSignal} signal @returns {Promise<import("node:net").Socket>} */
function tunnel(proxy, target, signal) {
  return new Promise((resolve, reject) => {
    const path = `${target.hostname}:${portOf(target)}`;
    const options = {
      host: hostOf(proxy),
      port: portOf(proxy),
      method: "CONNECT",
      path,
      agent: false,
      signal,
    };
    const call = httpRequest({ ...options, headers: { host: path } });
    call.on("error", reject);
    call.on("response", response => {
      response.destroy();
      reject(new FetchError("unreached", `the proxy refuses ${path}: ${response.statusCode}`));
    });
    call.on("connect", (response, socket, head) => {
      if (response.statusCode === 200 && head.length === 0) return resolve(socket);
      socket.destroy();
      reject(new FetchError("unreached", `the proxy refuses ${path}: ${response.statusCode}`));
    });
    call.end();
  });
}

/**
 * @param {URL} target
 * @param {FetchOptions & { maxBytes: number }} options
 * @param {import("node:net").Socket | undefined} socket  to the target, through a proxy
 * @param {AbortSignal} signal
 * @returns {Promise<Fetched>}
 */
function exchange(target, { method, headers, body, maxBytes }, socket, signal) {
  const isTls = target.protocol === "https:";
  // Without an agent of its own: one would not use the socket.
  const through =
    socket === undefined
      ? { agent: /** @type {const} */ (false) }
      : { createConnection: () => (isTls ? tlsConnect({ socket, ...serverName(target) }) : socket) };
  const octets = body === undefined ? undefined : Buffer.from(body);
  const own = { "accept-encoding": "identity", connection: "close" };
  const length = octets === undefined ? {} : { "content-length": String(octets.length) };
  return new Promise((resolve, reject) => {
    const call = (isTls ? httpsRequest : httpRequest)(target, {
      method: method ?? (octets === undefined ? "GET" : "POST"),
      headers: { ...own, ...headers, ...length },
      signal,
      ...through,
    });
    call.on("error", reject);
    call.on("response", response => {
      /** @type {Buffer[]} */
      const chunks = [];
      let bytes = 0;
      response.on("error", reject);
      response.on("data", (/** @type {Buffer} */ chunk) => {
        bytes += chunk.length;
        if (bytes > maxBytes)
          response.destroy(new FetchError("too_large", `more than ${maxBytes} bytes came`));
        else chunks.push(chunk);
      });
      response.on("end", () =>
        resolve(new Fetched(response.statusCode ?? 0, response.headers, Buffer.concat(chunks))),
      );
    });
    call.end(octets);
  });
}

/** @param {URL} target */
function serverName(target) {
  const host = hostOf(target);
  return isIP(host) === 0 ? { servername: host } : { host };
}

// -------------------------------------------------------------------------------------------------------------- signature

/** @param {string} secret  `whsec_…` as `mairust plugin rotate` prints it */
function keyOf(secret) {
  const key = Buffer.from(secret.replace(/^whsec_/u, ""), "base64");
  if (key.length < 24) throw new Error("a secret is not whsec_ and base64 of at least 24 bytes");
  return key;
}

/** @param {string} given @param {string} made */
function isSame(given, made) {
  const [a, b] = [Buffer.from(given), Buffer.from(made)];
  return a.length === b.length && timingSafeEqual(a, b);
}

/**
 * Whether the host has made this request, and lately: by `X-MaiRust-Signature` or by the list `webhook-signature`.
 * @param {readonly string[]} secrets  `whsec_…`; in a rotation the old one and the new one
 * @param {Readonly<Record<string, string | string[] | undefined>>} headers  names in lower case
 * @param {Uint8Array} body  as it came
 * @param {number} [now]  seconds since 1970
 */
export function isSigned(secrets, headers, body, now = Date.now() / 1000) {
  const field = (/** @type {string} */ name) => String(headers[name] ?? "");
  const isFresh = (/** @type {string} */ stamp) =>
    /^\d{1,12}$/u.test(stamp) && Math.abs(now - Number(stamp)) <= TOLERANCE_S;
  const [ownStamp, listStamp, id] = ["x-mairust-timestamp", "webhook-timestamp", "webhook-id"].map(field);
  const listed = field("webhook-signature").split(" ").slice(0, 8);
  return secrets.map(keyOf).some(key => {
    const mac = (/** @type {string} */ before) => createHmac("sha256", key).update(before).update(body);
    const own = `sha256=${mac(`${ownStamp}.`).digest("hex")}`;
    const list = `v1,${mac(`${id}.${listStamp}.`).digest("base64")}`;
    return (
      (isFresh(ownStamp ?? "") && isSame(field("x-mairust-signature"), own)) ||
      (isFresh(listStamp ?? "") && listed.some(one => isSame(one, list)))
    );
  });
}

/** `MAIRUST_PLUGIN_SECRET`, or the file that `MAIRUST_PLUGIN_SECRET_FILE` names; several are separated by spaces. */
function secretsOfEnvironment() {
  const file = process.env.MAIRUST_PLUGIN_SECRET_FILE ?? "";
  const said = file === "" ? (process.env.MAIRUST_PLUGIN_SECRET ?? "") : readFileSync(file, "utf8");
  return said.split(/\s+/u).filter(secret => secret !== "");
}

// --------------------------------------------------------------------------------------------------------------- manifest

/** @typedef {{ path: string, values: Readonly<Record<string, string>>, on: readonly string[] }} Manifest */

/**
 * What the SDK needs of `plugin.toml`: one-line texts by `table.key`, and `hooks.on`. Whether it is valid `mairust plugin lint` says.
 * @param {string} [path]  default: beside this file or above it, else beside the program, else in the working directory
 * @returns {Manifest}
 */
function readManifest(path) {
  const here = dirname(fileURLToPath(import.meta.url));
  const program = dirname(process.argv[1] ?? ".");
  const places = [here, dirname(here), program, dirname(program), process.cwd()];
  for (const file of path === undefined ? places.map(place => join(place, "plugin.toml")) : [path]) {
    let source;
    try {
      source = readFileSync(file, "utf8");
    } catch {
      // Not here.
      continue;
    }
    return { path: file, ...parseManifest(source) };
  }
  return { path: "", values: {}, on: [] };
}

/** @param {string} source */
function parseManifest(source) {
  /** @type {Record<string, string>} */
  const values = {};
  /** @type {string[]} */
  let on = [];
  let table = "";
  for (const line of source.split("\n")) {
    const opened = /^\s*\[([^[\]]+)\]/u.exec(line);
    if (opened !== null) table = `${opened[1]?.trim()}.`;
    const [, key = "", double, single] =
      /^\s*([a-z_]+)\s*=\s*(?:"([^"\\]*)"|'([^']*)')\s*(?:#.*)?$/u.exec(line) ?? [];
    const value = double ?? single;
    if (value !== undefined) values[`${table}${key}`] ??= value;
    const list = table === "hooks." ? /^\s*on\s*=\s*\[([^\]]*)\]/u.exec(line) : null;
    if (list !== null) on = [...(list[1] ?? "").matchAll(/["']([^"']*)["']/gu)].map(found => found[1] ?? "");
  }
  return { values, on };
}

// ----------------------------------------------------------------------------------------------------------------- plugin

/** @typedef {(message: Message, verdict: Verdict, call: Call) => unknown} Handler */
/** @typedef {{ status: "ok" | "degraded" | "error", details?: string }} Health */
/** @typedef {{ host?: string, port?: number, socketPath?: string, path?: string, secrets?: readonly string[] }} ServeOptions */

export class Plugin {
  /** @type {Map<string, Handler>} */
  #handlers = new Map();
  /** @type {() => unknown} */
  #health = () => undefined;
  /** @type {(() => unknown)[]} */
  #stops = [];
  #options;

  /** @param {{ manifest?: string, id?: string, version?: string, logging?: { level?: string, format?: string }, budget?: { calls?: number, tokens?: number } }} [options] */
  constructor(options = {}) {
    this.#options = options;
    this.manifest = readManifest(options.manifest);
    const { values } = this.manifest;
    this.id = options.id ?? process.env.MAIRUST_PLUGIN_ID ?? values.id ?? "";
    this.version = options.version ?? values.version ?? "0.0.0";
    const { "logging.level": level, "logging.format": format } = values;
    this.log = new Log({ ...(level && { level }), ...(format && { format }), ...options.logging });
  }

  /** Points that have a handler. */
  get points() {
    return [...this.#handlers.keys()];
  }

  /** What to do at a hook point. @param {Point} point @param {Handler} handler */
  on(point, handler) {
    if (!POINTS.includes(point)) throw new RangeError(`there is no hook point "${point}"`);
    if (this.#handlers.has(point)) throw new RangeError(`"${point}" has a handler`);
    this.#handlers.set(point, handler);
    return this;
  }

  /** How it is: nothing is ok, a text is degraded, an error is an error. @param {() => unknown} check */
  health(check) {
    this.#health = check;
    return this;
  }

  /** What is done before the process leaves. @param {() => unknown} work */
  onStop(work) {
    this.#stops.push(work);
    return this;
  }

  /**
   * One call. Never throws: what fails is logged, and answered with the action "error".
   * @param {Payload} payload @param {string} [traceparent] @returns {Promise<Answer | { call_id: string, action: "error" }>}
   */
  async answer(payload, traceparent = "") {
    const verdict = new Verdict(payload.call_id);
    const { budget } = this.#options;
    const call = new Call(payload, { verdict, log: this.log, traceparent, ...(budget && { budget }) });
    try {
      const handler = this.#handlers.get(payload.hook);
      if (handler === undefined) throw new Error(`there is no handler for "${payload.hook}"`);
      await handler(new Message(payload), verdict, call);
      return verdict.toJSON();
    } catch (error) {
      if (error instanceof CallFailed) call.log.warn("the call failed", { error: error.message });
      else
        call.log.error("the handler failed", { error: error instanceof Error ? error.stack : String(error) });
      return { call_id: payload.call_id, action: "error" };
    }
  }

  /** @returns {Promise<Health>} */
  async healthNow() {
    try {
      const said = await this.#health();
      if (said === undefined || said === null) return { status: "ok" };
      return typeof said === "string" ? { status: "degraded", details: said } : /** @type {Health} */ (said);
    } catch (error) {
      return { status: "error", details: error instanceof Error ? error.message : String(error) };
    }
  }

  /**
   * Work as `[entry]` of the manifest says: worker, spawn, or web server. Does nothing where this module was only imported, by a test.
   * @param {ImportMeta} meta  `import.meta` @param {"worker" | "spawn" | "http"} [mode]
   */
  async run(meta, mode) {
    if (realpathSync(process.argv[1] ?? ".") !== realpathSync(fileURLToPath(meta.url))) return;
    const { "entry.protocol": protocol = "script", "entry.mode": said = "worker" } = this.manifest.values;
    const found = mode ?? (protocol === "script" ? said : "http");
    if (found === "http") {
      const server = await this.serve();
      for (const signal of ["SIGTERM", "SIGINT"])
        process.once(signal, () => void server.stop().then(() => process.exit(0)));
      return;
    }
    const write = protocolOutput();
    await (found === "spawn" ? this.#runOnce(write) : this.#runWorker(write));
    await this.#stop();
    // What the plugin left open (a timer, a connection) is no reason to stay.
    process.exit(0);
  }

  /**
   * Be a web server: POST is a call, GET asks for the health; both must be signed.
   * @param {ServeOptions} [options]  default: `MAIRUST_PLUGIN_LISTEN`, else where the manifest's endpoint says
   */
  async serve(options = {}) {
    const where = { ...listenOf(this.manifest.values), ...options };
    const secrets = options.secrets ?? secretsOfEnvironment();
    if (secrets.length === 0)
      throw new Error("Cannot serve: no secret in MAIRUST_PLUGIN_SECRET or MAIRUST_PLUGIN_SECRET_FILE");
    secrets.forEach(keyOf);
    const server = createServer((request, response) => {
      response.on("error", () => {});
      this.#serveOne(request, secrets, where.path).then(
        ({ status, said }) => {
          const body = said === undefined ? "" : JSON.stringify(said);
          response
            .writeHead(status, {
              "content-type": "application/json",
              "content-length": Buffer.byteLength(body),
            })
            .end(body);
        },
        () => response.destroy(),
      );
    });
    server.maxConnections = MAX_CONNECTIONS;
    server.keepAliveTimeout = 75_000;
    if (where.socketPath !== undefined) rmSync(where.socketPath, { force: true });
    await new Promise((resolve, reject) => {
      server.once("error", reject);
      if (where.socketPath !== undefined) server.listen(where.socketPath, () => resolve(undefined));
      else server.listen(where.port ?? 0, where.host ?? "127.0.0.1", () => resolve(undefined));
    });
    const stop = async () => {
      const closed = new Promise(resolve => server.close(resolve));
      server.closeIdleConnections();
      await closed;
      await this.#stop();
    };
    return { server, stop };
  }

  /** @param {import("node:http").IncomingMessage} request @param {readonly string[]} secrets @param {string | undefined} path @returns {Promise<{ status: number, said?: unknown }>} */
  async #serveOne(request, secrets, path) {
    const chunks = [];
    let bytes = 0;
    for await (const chunk of request) {
      bytes += chunk.length;
      if (bytes > MAX_PAYLOAD_BYTES) return { status: 413 };
      chunks.push(chunk);
    }
    const body = Buffer.concat(chunks);
    if (!isSigned(secrets, request.headers, body)) return { status: 401 };
    if (request.method === "GET") return { status: 200, said: await this.healthNow() };
    if (request.method !== "POST") return { status: 405 };
    if (path !== undefined && request.url !== path) return { status: 404 };
    const payload = parsed(body.toString());
    return payload === undefined
      ? { status: 400 }
      : { status: 200, said: await this.answer(payload, String(request.headers.traceparent ?? "")) };
  }

  /** @param {(text: string) => Promise<void>} write */
  async #runWorker(write) {
    for await (const line of linesOf(process.stdin)) {
      const request = parsed(line);
      /** @type {unknown} */
      let said = { action: "error" };
      if (request === undefined) this.log.error("this line is no request");
      else if (Object.hasOwn(request, "mairust"))
        said = { mairust: 1, plugin: this.id, version: this.version, api: ["1"] };
      else if (Object.hasOwn(request, "health")) said = await this.healthNow();
      else said = await this.answer(request);
      await write(`${JSON.stringify(said)}\n`);
    }
  }

  /** @param {(text: string) => Promise<void>} write */
  async #runOnce(write) {
    const chunks = [];
    for await (const chunk of process.stdin) chunks.push(chunk);
    const request = parsed(Buffer.concat(chunks).toString());
    if (request === undefined) {
      this.log.error("standard input is no request");
      process.exit(1);
    }
    // Awaited: an exit would cut what the pipe has not taken yet.
    await write(JSON.stringify(await this.answer(request)));
  }

  async #stop() {
    for (const work of this.#stops) {
      try {
        await work();
      } catch (error) {
        this.log.error("the end failed", { error: String(error) });
      }
    }
  }
}

/** @param {string} line @returns {Payload | undefined} */
function parsed(line) {
  try {
    const value = JSON.parse(line);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? value : undefined;
  } catch {
    // The caller says what it expected.
    return undefined;
  }
}

/** @param {AsyncIterable<Buffer>} stream @returns {AsyncGenerator<string>} */
async function* linesOf(stream) {
  /** @type {Buffer[]} */
  let held = [];
  for await (const chunk of stream) {
    let start = 0;
    for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, start)) {
      yield Buffer.concat([...held, chunk.subarray(start, end)]).toString();
      held = [];
      start = end + 1;
    }
    if (start < chunk.length) held.push(chunk.subarray(start));
  }
}

/** From now on `console.log` and all that is written to stdout goes to stderr. @returns {(text: string) => Promise<void>}  the way to the host */
function protocolOutput() {
  const slot = /** @type {{ [OUTPUT]?: (text: string) => Promise<void> }} */ (
    /** @type {unknown} */ (process.stdout)
  );
  if (slot[OUTPUT] === undefined) {
    const write = process.stdout.write.bind(process.stdout);
    slot[OUTPUT] = said => new Promise(resolve => write(said, () => resolve()));
    process.stdout.write = /** @type {typeof process.stdout.write} */ (
      process.stderr.write.bind(process.stderr)
    );
    // The host has gone.
    process.stdout.on("error", () => process.exit(0));
  }
  return slot[OUTPUT];
}

/** @param {Readonly<Record<string, string>>} values @returns {ServeOptions} */
function listenOf(values) {
  const endpoint = values["entry.endpoint"] ?? "";
  const said = process.env.MAIRUST_PLUGIN_LISTEN ?? "";
  const unix = /^unix:(?:\/\/)?(\/[^:]*)(?::(\/.*))?$/u.exec(said === "" ? endpoint : said);
  const url = /^https?:/u.test(endpoint) ? new URL(endpoint) : undefined;
  const path =
    url === undefined ? /^unix:.*:(\/[^:]*)$/u.exec(endpoint)?.[1] : `${url.pathname}${url.search}`;
  const at = path === undefined ? {} : { path };
  if (unix !== null) return { socketPath: unix[1] ?? "", ...at };
  const [, host, port] = /^(.*):(\d+)$/u.exec(said) ?? [];
  if (port !== undefined) return { host: host?.replace(/^\[|\]$/gu, "") ?? "", port: Number(port), ...at };
  if (url?.protocol === "http:") return { host: hostOf(url), port: Number(portOf(url)), ...at };
  return at;
}

// ------------------------------------------------------------------------------------------------------------------ tests

/** A payload with only what is given: `{ headers: [...], body_preview: {...} }`. @param {Partial<Payload>} [more] @returns {Payload} */
export function samplePayload(more = {}) {
  return {
    ...{
      api: "mairust.hook/1",
      call_id: "0190a000-0000-7000-8000-000000000001",
      hook: "pre_delivery",
      mode: "enforce",
    },
    ...{ attempt: 1, deadline_ms: 2000, plugin: { id: "com.example.sample", version: "1.0.0" } },
    ...{ received_at: "2026-03-01T12:00:00.000Z", size_bytes: 1000, settings: {} },
    ...more,
  };
}

/**
 * Call the plugin with a fixture: a payload, or a JSON file of one, or of `{ "payload": … }` as in plugins/contract/samples.
 * @param {Plugin} plugin @param {Payload | string} fixture @param {Partial<Payload>} [more]  instead of what stands in the fixture
 */
export function runFixture(plugin, fixture, more = {}) {
  const read = typeof fixture === "string" ? JSON.parse(readFileSync(fixture, "utf8")) : fixture;
  return plugin.answer({ ...(read.payload ?? read), ...more });
}

/** It has a manifest with an id, and a handler for each point that the manifest names. @param {Plugin} plugin @throws {Error} */
export function assertLoaded(plugin) {
  if (plugin.manifest.path === "") throw new Error("there is no plugin.toml");
  if (plugin.id === "") throw new Error(`${plugin.manifest.path} has no id`);
  if (plugin.manifest.on.length === 0) throw new Error(`${plugin.manifest.path} names no hook point`);
  for (const point of plugin.manifest.on) assertHookRegistered(plugin, point);
}

/** @param {Plugin} plugin @param {string} point @throws {Error} */
export function assertHookRegistered(plugin, point) {
  if (!plugin.points.includes(point)) throw new Error(`there is no handler for "${point}"`);
}
