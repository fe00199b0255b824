/** Payloads of messages that tests put together part by part. */
import { createHash } from "node:crypto";
import { callId } from "../../../src/core/ids.ts";
import { project } from "../../../src/core/permissions.ts";
import { grantsOf } from "../../../src/core/permissions-grants.ts";
import type { MessageFacts } from "../../../src/core/ports/hooks.ts";
import { MessageViews } from "../../../src/hooks/message-views.ts";
import type { HookPayload } from "../../../src/wire/hook-payload.ts";
import type { PermissionsInput } from "../../../src/wire/permissions.ts";

export const MEBI = 1024 * 1024;
const STATE = { recipients: ["u@example.com"], account: undefined, tags: [], provenance: [] };

export async function payloadOf(
  facts: MessageFacts,
  input: PermissionsInput,
  views = new MessageViews(),
): Promise<HookPayload> {
  const grants = grantsOf(input);
  return project(await views.view(facts, grants), STATE, grants, {
    callId: callId("0190a000-0000-7000-8000-000000000001"),
    point: "pre_delivery",
    mode: "enforce",
    attempt: 1,
    deadlineMs: 1000,
    pluginId: "p.q",
    pluginVersion: "1.0.0",
    settings: {},
  });
}

export const crlf = (text: string) => Buffer.from(text.replace(/\r?\n/g, "\r\n"));
/** Parts are a header with its empty line, and a body. */
export function mixed(...parts: ReadonlyArray<readonly [header: string, body: string | Uint8Array]>): Buffer {
  return multi("mixed", ...parts);
}
export function multi(kind: string, ...parts: ReadonlyArray<readonly [string, string | Uint8Array]>): Buffer {
  return Buffer.concat([
    crlf(`Content-Type: multipart/${kind}; boundary=b\n\n`),
    ...parts.flatMap(([header, body]) => [crlf(`--b\n${header}\n\n`), Buffer.from(body), crlf("\n")]),
    crlf("--b--\n"),
  ]);
}
export const lines = (bytes: Uint8Array) =>
  Buffer.from(bytes)
    .toString("base64")
    .replace(/(.{76})/g, "$1\r\n");
export const TEXT = "Content-Type: text/plain; charset=utf-8";
export const FILE = "Content-Type: application/octet-stream\nContent-Transfer-Encoding: base64";
export const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
