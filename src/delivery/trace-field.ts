/**
 * The trace field: what the milter puts into a message so that LMTP knows it again (message path, from step 5 to step 6).
 *
 *   X-MaiRust-Trace: v1; id=<trace id>[.n]; q=<queue id>; x=<unix seconds>[; a=<base64url SHA-256>]; h=<base64url HMAC-SHA256>
 *
 * `.n`: nothing is kept under the id, because there was nothing to tell; LMTP then asks nobody. `a` is the digest of the
 * Authentication-Results field that the milter added: LMTP believes that one and no other. The HMAC binds all of it: whoever reads the field in delivered mail can use it for nothing else. A field that does not hold is as good as none.
 */
import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import type { MessageId } from "../core/ids.ts";
import { messageId } from "../core/ids.ts";
import { headerFields, unfold } from "../core/mime/header.ts";

export const TRACE_FIELD = "X-MaiRust-Trace";
/** Longer than mail waits in a queue (`maximal_queue_lifetime` of Postfix: 5 days), and with it what is kept under the id. */
export const TRACE_LIFETIME_S = 864_000;

/** Folded values are longer by their white space. */
const MAX_VALUE_BYTES = 512;
const UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}";
/** A queue id that would end its item is not written. */
const QUEUE_ID = /^[\x21-\x3a\x3c-\x7e]{1,128}$/u;
const VALUE = new RegExp(
  `^v1; id=(${UUID})(\\.n)?; q=([\\x21-\\x3a\\x3c-\\x7e]{1,128}); x=(\\d{1,12})(?:; a=([A-Za-z0-9_-]{43}))?; h=([A-Za-z0-9_-]{43})$`,
  "u",
);

export interface Trace {
  readonly id: MessageId;
  /** There is a record of what was decided; else the message was judged, or there was nobody to judge it, and nothing came of it. */
  readonly recorded: boolean;
  /** {@link fieldDigest} of the Authentication-Results field that is the milter's; absent: it added none. */
  readonly authDigest?: string;
}

export class TraceFields {
  readonly #keys: (now: Date) => readonly Uint8Array[];

  /** @param keys  secret, for this purpose alone: fields are made with the first, and hold with any of them */
  constructor(keys: (now: Date) => readonly Uint8Array[]) {
    this.#keys = keys;
  }

  /** @returns the field's value; undefined when the queue id is none that can be bound */
  value(trace: Trace, queueId: string, now: Date): string | undefined {
    if (!QUEUE_ID.test(queueId)) return undefined;
    const id = trace.recorded ? trace.id : `${trace.id}.n`;
    const expiry = Math.floor(now.getTime() / 1000) + TRACE_LIFETIME_S;
    const [key] = this.#keys(now);
    if (key === undefined) return undefined;
    const { authDigest } = trace;
    const mac = hmacOf(key, id, queueId, String(expiry), authDigest).toString("base64url");
    const auth = authDigest === undefined ? "" : ` a=${authDigest};`;
    return `v1; id=${id}; q=${queueId}; x=${expiry};${auth} h=${mac}`;
  }

  /**
   * @param header   root header block; only the topmost trace field counts
   * @param queueId  as the MTA says now
   */
  find(header: Uint8Array, queueId: string, now: Date): Trace | undefined {
    // Most mail has none: no field is read then.
    if (queueId === "" || !Buffer.from(header.buffer, header.byteOffset, header.length).includes(TRACE_FIELD))
      return undefined;
    for (const { name, value } of headerFields(header)) {
      if (name !== TRACE_FIELD.toLowerCase()) continue;
      return value.length > MAX_VALUE_BYTES ? undefined : this.#verify(unfold(value).trim(), queueId, now);
    }
    return undefined;
  }

  #verify(value: string, queueId: string, now: Date): Trace | undefined {
    const match = VALUE.exec(value.replace(/[ \t]+/gu, " "));
    if (match === null) return undefined;
    const [, id = "", suffix = "", boundTo = "", expiry = "", authDigest, hmac = ""] = match;
    const given = Buffer.from(hmac, "base64url");
    const isOurs = this.#keys(now).some(key =>
      timingSafeEqual(given, hmacOf(key, `${id}${suffix}`, boundTo, expiry, authDigest)),
    );
    if (!isOurs || boundTo !== queueId || Number(expiry) * 1000 <= now.getTime()) return undefined;
    return {
      id: messageId(id),
      recorded: suffix === "",
      ...(authDigest === undefined ? {} : { authDigest }),
    };
  }
}

/** The same however the field was folded on its way. @param value  octets as characters */
export function fieldDigest(value: string): string {
  return createHash("sha256").update(value.replace(/\s+/gu, " ").trim(), "latin1").digest("base64url");
}

function hmacOf(
  key: Uint8Array,
  id: string,
  queueId: string,
  expiry: string,
  auth: string | undefined,
): Buffer {
  const bound = auth === undefined ? "" : `\0${auth}`;
  return createHmac("sha256", key).update(`v1\0${id}\0${queueId}\0${expiry}${bound}`).digest();
}
