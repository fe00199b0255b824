/** The handshake of script plugins: `{"mairust":1}` → `{"mairust":1,"plugin":id,"version":…,"api":["1"]}`; and the health line. */
import type { PluginError } from "../core/errors.ts";
import { API_VERSION } from "../wire/hook-payload.ts";
import { callFailure } from "./call-failure.ts";

export const HELLO: Uint8Array = Buffer.from('{"mairust":1}');
export const HEALTH: Uint8Array = Buffer.from('{"health":true}');

/** @throws {PluginError} `plugin_failed`: not a greeting, of another plugin, or of a contract we do not speak */
export function checkHello(line: Uint8Array, pluginId: string): void {
  const hello = parseObject(line);
  if (hello?.mairust !== 1) throw refused(pluginId, 'its first line is not {"mairust":1,…}');
  if (hello.plugin !== pluginId) throw refused(pluginId, "it says it is another plugin");
  if (!Array.isArray(hello.api) || !hello.api.includes(API_VERSION))
    throw refused(pluginId, `it does not speak api "${API_VERSION}"`);
}

/** Longest details of a health line that are kept. */
const MAX_DETAILS = 500;

/** A health line; one that says nothing about the status is `degraded`. */
export function readHealth(line: Uint8Array): {
  readonly status: "ok" | "degraded" | "error";
  readonly detail?: string;
} {
  const health = parseObject(line);
  const status = (["ok", "degraded", "error"] as const).find(known => known === health?.status);
  if (status === undefined) return { status: "degraded", detail: "the health line has no status" };
  const details = health?.details;
  return typeof details === "string" && details !== ""
    ? { status, detail: details.slice(0, MAX_DETAILS) }
    : { status };
}

function parseObject(line: Uint8Array): Readonly<Record<string, unknown>> | undefined {
  try {
    const parsed: unknown = JSON.parse(Buffer.from(line).toString("utf8"));
    return typeof parsed === "object" && parsed !== null ? { ...parsed } : undefined;
  } catch {
    // Not JSON: the caller says what it expected.
    return undefined;
  }
}

function refused(pluginId: string, why: string): PluginError {
  return callFailure(pluginId, why);
}
