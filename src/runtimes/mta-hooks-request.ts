/**
 * A payload in the words of Stalwart's MTA hooks, stage "data". Pure. It is made of what the payload holds, so that it never says more
 * than was granted:
 *
 * - always: stage, size, and constants where their contract wants a value that nobody has;
 * - read_headers: `envelope`, `client`, `sasl`, `tls`, `queue`, `message.headers` (decoded, as everywhere);
 * - read_body = "full": `message.contents`, made of the decoded text parts and, with read_attachments = "full", of the
 *   attachments; `MIME-Version`, `Content-Type` and `Content-Transfer-Encoding` then describe these bytes.
 *
 * A preview of the text, metadata of attachments, `auth`, `context`, `settings` and `provenance` have no place there and are not sent.
 * What was cut is told by `X-MaiRust-Truncated` among the server's headers.
 * Source: Stalwart, crates/smtp/src/inbound/hooks/mod.rs (Request) and message.rs (what it fills in), 0.8 to 0.15.
 */
import { jsonLine } from "../core/permissions-json.ts";
import type { Encoded } from "../core/ports/plugin-transport.ts";
import type { HookPayload } from "../wire/hook-payload.ts";
import { contentsOf, REPLACED_FIELDS } from "./mta-hooks-contents.ts";

type Field = readonly [name: string, value: string];

/** Of a client that is not known, or not granted. */
const NO_ADDRESS = "0.0.0.0";
const PROTOCOL_VERSION = 1;

/** @param payload  as `core/permissions.ts` builds it */
export function mtaHooksRequest(payload: Uint8Array): Encoded {
  const said = JSON.parse(Buffer.from(payload).toString()) as HookPayload;
  const { envelope } = said;
  const fields = ["headers", "envelope", "body"].filter(name => Object.hasOwn(said, name));
  if (said.body !== undefined && said.attachments?.some(one => typeof one.content_base64 === "string"))
    fields.push("attachments");
  const request = {
    context: contextOf(said),
    ...(envelope === undefined
      ? {}
      : {
          envelope: {
            from: { address: envelope.mail_from },
            to: envelope.rcpt_to.map(address => ({ address })),
          },
        }),
    message: messageOf(said),
  };
  return { payload: Buffer.from(jsonLine(request)), fields };
}

function contextOf({ envelope }: HookPayload) {
  const user = envelope?.auth_user ?? null;
  const queueId = envelope?.queue_id ?? null;
  return {
    stage: "data",
    client: {
      ip: envelope?.client_ip ?? NO_ADDRESS,
      port: 0,
      ptr: envelope?.client_name ?? null,
      helo: envelope?.helo ?? null,
      activeConnections: 1,
    },
    ...(user === null ? {} : { sasl: { login: user } }),
    // That there was TLS is all that is known of it.
    ...(envelope?.tls === true ? { tls: { version: "", cipher: "" } } : {}),
    server: { name: "MaiRust", port: 0, ip: null },
    ...(queueId === null ? {} : { queue: { id: queueId } }),
    protocol: { version: PROTOCOL_VERSION },
  };
}

function messageOf(said: HookPayload) {
  const headers = (said.headers ?? []).map(({ name, value }): Field => [name, value]);
  const common = { serverHeaders: serverHeaders(said), size: said.size_bytes };
  if (said.body === undefined) return { headers, contents: "", ...common };
  const { fields, text } = contentsOf(said.body, said.attachments ?? [], said.call_id);
  const kept = headers.filter(([name]) => !REPLACED_FIELDS.has(name.toLowerCase()));
  return { headers: [...kept, ...fields], contents: text, ...common };
}

function serverHeaders({ headers_truncated, mime_truncated, body }: HookPayload): readonly Field[] {
  const isCut = headers_truncated === true || mime_truncated === true || body?.some(part => part.truncated);
  return isCut === true ? [["X-MaiRust-Truncated", "yes"]] : [];
}
