/**
 * Where a plugin is called by HTTP: what its manifest says, or what the administrator says instead. Pure.
 *
 * `unix:///run/plugin.sock` is a UNIX socket; the path of the request stands after a colon, `unix:///run/plugin.sock:/hook`, and is
 * `/` without one. An endpoint that the administrator names in `[plugin."<id>"] endpoint` is approved: plain HTTP and private addresses
 * are meant then. A health endpoint that stands on the same server as the manifest's endpoint moves along with it.
 */
import type { HealthSpec, HttpTarget } from "../core/hook-plugin.ts";
import type { Manifest } from "../wire/manifest.ts";

type Entry = Manifest["entry"];

/** What is allowed, for errors. */
export const ENDPOINT_FORM = "an http:// or https:// URL without user and password";
export const UNIX_FORM = "unix:///path or unix:///path:/path-of-request";

/** Protocols of manifests that are called by HTTP here. */
export function isCalledByHttp({ protocol }: Entry): boolean {
  return protocol === "http" || protocol === "unix" || protocol === "mta-hooks";
}

/** @returns undefined when the text is neither form */
export function parseEndpoint(text: string): Omit<HttpTarget, "approved"> | undefined {
  const unix = /^unix:\/\/(?<socket>\/[^:\0]+)(?::(?<path>\/[^\0]*))?$/u.exec(text)?.groups;
  if (unix?.socket !== undefined) {
    return { endpoint: new URL(unix.path ?? "/", "http://localhost"), socketPath: unix.socket };
  }
  if (!URL.canParse(text)) return undefined;
  const endpoint = new URL(text);
  const isPlain = endpoint.username === "" && endpoint.password === "";
  return isPlain && /^https?:$/u.test(endpoint.protocol) ? { endpoint, socketPath: undefined } : undefined;
}

/**
 * @param approved  `endpoint` of the administrator
 * @returns         undefined when the plugin is not called by HTTP
 */
export function httpTarget(entry: Entry, approved: string | undefined): HttpTarget | undefined {
  if (!isCalledByHttp(entry)) return undefined;
  const target = parseEndpoint(approved ?? entry.endpoint ?? "");
  return target === undefined ? undefined : { ...target, approved: approved !== undefined };
}

/** @param folder  of the plugin, where a command runs */
export function healthSpec(
  entry: Entry,
  approved: string | undefined,
  folder: string,
): HealthSpec | undefined {
  const { health_cmd: command, health_endpoint: endpoint } = entry;
  if (command !== undefined)
    return {
      kind: "command",
      command: typeof command === "string" ? ["/bin/sh", "-c", command] : command,
      folder,
    };
  const health = endpoint === undefined ? undefined : parseEndpoint(endpoint);
  if (health === undefined) return undefined;
  const target = httpTarget(entry, approved);
  const own = parseEndpoint(entry.endpoint ?? "");
  if (target === undefined || own === undefined || !isSameServer(health, own))
    return { kind: "endpoint", ...health, approved: false };
  const { pathname, search } = health.endpoint;
  return { kind: "endpoint", ...target, endpoint: new URL(`${pathname}${search}`, target.endpoint) };
}

function isSameServer(a: Omit<HttpTarget, "approved">, b: Omit<HttpTarget, "approved">): boolean {
  return a.socketPath === b.socketPath && a.endpoint.origin === b.endpoint.origin;
}
