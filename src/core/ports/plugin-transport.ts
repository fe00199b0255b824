/** One way to call a plugin; `runtimes/` implements it. */
import type { Deadline } from "../deadline.ts";
import type { LimitReport } from "./sandbox.ts";

/** What travels beside a payload, where a transport has a place for it. */
export interface TransportCall {
  readonly callId: string;
  /** W3C Trace Context, level 1: `00-<trace>-<span>-01`. */
  readonly traceparent: string;
}

/** A payload in the words of another contract. */
export interface Encoded {
  readonly payload: Uint8Array;
  /** Of the fields of the payload, those that it still carries: for the ledger. */
  readonly fields: readonly string[];
}

/** One way to call a plugin: script worker, http, unix socket … All give the same results (conformance suite). */
export interface PluginTransport {
  start(deadline: Deadline): Promise<void>;
  /** Where the plugin speaks another contract: what {@link call} can be given, and the ledger records, instead of the payload. @throws {MairustError} `plugin_failed`: it is too long */
  encode?(payload: Uint8Array): Encoded;
  /**
   * Send one payload (one JSON document, no line break, or what {@link encode} made of it) and return the raw answer bytes.
   * @throws {MairustError} `deadline` (the call was cut and its process ended), `plugin_failed` (crash, closed, flood, bad framing)
   */
  call(payload: Uint8Array, call: TransportCall, deadline: Deadline): Promise<Uint8Array>;
  /** Where payloads go, for the ledger: `script:<program>`, or scheme, host and port. */
  readonly destination: string;
  health(): Promise<{ readonly status: "ok" | "degraded" | "error"; readonly detail?: string }>;
  /** What holds its processes; absent: it has none here. */
  limits?(): readonly LimitReport[];
  /** Finish running calls until the deadline, then end every process. */
  stop(deadline: Deadline): Promise<void>;
}
