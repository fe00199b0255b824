/** The lists of milters in Postfix's settings, and which of them is ours. Pure. Source: postconf(5) smtpd_milters, MILTER_README. */
import { join } from "node:path";
import { parseListenSpec } from "../platform/listen-spec.ts";

export interface MilterSetting {
  /** `unix:mairust/milter.sock`, `inet:127.0.0.1:8891` */
  readonly socket: string;
  /** `default_action`, `content_timeout` … */
  readonly options: ReadonlyMap<string, string>;
}

/** @param value  with `$name` replaced */
export function parseMilters(value: string): readonly MilterSetting[] {
  const words = value.match(/\{[^}]*\}|[^\s,{}]+/gu) ?? [];
  return words.map(word => {
    const parts = word
      .replace(/^\{|\}$/gu, "")
      .split(/[,\s]+/u)
      .filter(part => part !== "");
    const options = new Map<string, string>();
    for (const part of parts.slice(1)) {
      const equals = part.indexOf("=");
      if (equals > 0) options.set(part.slice(0, equals), part.slice(equals + 1));
    }
    return { socket: parts[0] ?? "", options };
  });
}

/** The absolute path of a UNIX socket that a program of Postfix means. @returns undefined: it is none */
export function socketPath(socket: string, queueDir: string, chrooted: boolean): string | undefined {
  const path = /^(?:unix|local):(.+)$/u.exec(socket)?.[1];
  if (path === undefined) return undefined;
  return path.startsWith("/") && !chrooted ? path : join(queueDir, path);
}

/** Whether a socket that Postfix names is one of our listeners. */
export function isListener(
  socket: string,
  listeners: readonly string[],
  queueDir: string,
  chrooted: boolean,
): boolean {
  const path = socketPath(socket, queueDir, chrooted);
  // Also as it was meant: outside of the chroot.
  const meant = socketPath(socket, queueDir, false);
  return listeners.map(parseListenSpec).some(address => {
    if (address.kind === "unix") return address.path === path || address.path === meant;
    const match = /^inet6?:(?:\[([^\]]+)\]|([^:]+)):(\d+)$/u.exec(socket);
    return match !== null && Number(match[3]) === address.port;
  });
}

/** `30s`, `5m`, `1h`, `30` in seconds. @param unit  of a bare number */
export function secondsOf(value: string | undefined, fallback: number, unit = "s"): number {
  const match = /^(\d+)([smhdw]?)$/u.exec(value ?? "");
  if (match === null) return fallback;
  const factor: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 };
  return Number(match[1]) * (factor[match[2] === "" ? unit : (match[2] ?? unit)] ?? 1);
}
