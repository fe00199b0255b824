/**
 * The headers by which a receiver knows that a request is ours and not an old one: our own, and those of Standard Webhooks. Pure.
 * Both are made of the same secrets. `plugins/README.md` says how they are checked.
 * Source: Standard Webhooks specification, "Signature scheme" (symmetric, `v1`).
 */
import { createHmac } from "node:crypto";
import { callFailure } from "./call-failure.ts";

export interface SignedRequest {
  readonly pluginId: string;
  /** Stays the same when the request is repeated. */
  readonly callId: string;
  readonly body: Uint8Array;
  /** Seconds since 1970. */
  readonly timestamp: number;
}

/**
 * @param secrets  the first one makes the header that carries one signature, all of them the one that carries a list
 * @throws {PluginError} `plugin_failed`: there is no secret; nothing leaves unsigned
 */
export function signatureHeaders(
  { pluginId, callId, body, timestamp }: SignedRequest,
  secrets: readonly Uint8Array[],
): Record<string, string> {
  const [first] = secrets;
  if (first === undefined) throw callFailure(pluginId, "there is no secret to sign with");
  return {
    "x-mairust-timestamp": String(timestamp),
    "x-mairust-plugin-id": pluginId,
    "x-mairust-signature": `sha256=${mac(first, `${timestamp}.`, body, "hex")}`,
    "webhook-id": callId,
    "webhook-timestamp": String(timestamp),
    "webhook-signature": secrets
      .map(secret => `v1,${mac(secret, `${callId}.${timestamp}.`, body, "base64")}`)
      .join(" "),
  };
}

function mac(secret: Uint8Array, before: string, body: Uint8Array, as: "hex" | "base64"): string {
  return createHmac("sha256", secret).update(before).update(body).digest(as);
}

/** W3C Trace Context level 1 §3.2.2; ids of zeros are invalid. */
const TRACEPARENT = /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/u;

/** No header at all is better than one that receivers refuse. */
export function traceHeaders(traceparent: string): Record<string, string> {
  return TRACEPARENT.test(traceparent) ? { traceparent } : {};
}
