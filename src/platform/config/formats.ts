/** What the `format` names of the schema mean. */
import { isIP } from "node:net";
import { messageOf } from "../../core/errors.ts";
import type { TextFormat } from "../../wire/config/leaf.ts";
import { parseListenSpec } from "../listen-spec.ts";

/** A check returns what is allowed when the text is not. */
type Check = (value: string) => string | undefined;

const HOST_LABEL = /^(?!-)[A-Za-z0-9-]{1,63}(?<!-)$/;
const PLUGIN_ID = /^[a-z0-9-]+(\.[a-z0-9-]+)+$/;
const MAX_PLUGIN_ID = 128;

function isHostName(value: string): boolean {
  return value.length <= 253 && value.split(".").every(label => HOST_LABEL.test(label));
}

function isCidr(value: string): boolean {
  const [address = "", prefix, ...more] = value.split("/");
  const family = isIP(address);
  if (family === 0 || more.length > 0) return false;
  return prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) <= (family === 4 ? 32 : 128));
}

function isUrl(value: string, protocols: readonly string[]): boolean {
  return URL.canParse(value) && protocols.includes(new URL(value).protocol);
}

function listenSpec(value: string): string | undefined {
  try {
    parseListenSpec(value);
    return undefined;
  } catch (error) {
    return `unix:/path, inet:host:port or inet:[::1]:port (${messageOf(error).split('": ').at(-1)})`;
  }
}

/** `127.0.0.1:53`, `[::1]:53` or a bare address. */
function isAddress(value: string): boolean {
  const match = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d{1,5}))?$/.exec(value);
  return (
    isIP(value) !== 0 ||
    (match !== null && isIP(match[1] ?? match[2] ?? "") !== 0 && Number(match[3] ?? 53) <= 65_535)
  );
}

const unless = (ok: boolean, allowed: string): string | undefined => (ok ? undefined : allowed);

const CHECKS: Readonly<Record<TextFormat, Check>> = {
  account_or_domain: v =>
    unless(
      /^(?:[^\s@<>\p{Cc}]+@)?[^\s@<>\p{Cc}]+$/u.test(v) && isHostName(v.slice(v.lastIndexOf("@") + 1)),
      "a mail address or a domain name",
    ),
  absolute_path: v => unless(v.startsWith("/") && !v.includes("\0"), "an absolute path"),
  address: v => unless(isAddress(v), "an IP address, with :port if it is not 53"),
  cidr: v => unless(isCidr(v), "an IP network such as 192.0.2.0/24 or 2001:db8::/32"),
  domain: v =>
    unless(
      isHostName(v) && v === v.toLowerCase(),
      "a domain name in lower case, A-labels (xn--…) for others than ASCII",
    ),
  group: v => unless(/^[A-Za-z_0-9][A-Za-z0-9_.-]*\$?$/.test(v), "a group name or number"),
  hook_name: v =>
    unless(
      /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(v),
      "up to 64 letters, digits, dots, dashes, underscores",
    ),
  host_name: v => unless(isHostName(v), "a host name"),
  http_url: v => unless(isUrl(v, ["http:", "https:"]), "an http:// or https:// URL"),
  listener: listenSpec,
  mail_address: v => unless(/^[^\s@<>\p{Cc}]+@[^\s@<>\p{Cc}]+$/u.test(v), "a mail address"),
  next_hop: v => unless(!v.startsWith("tls:"), "unix:/path or inet:host:port") ?? listenSpec(v),
  octal_mode: v => unless(/^0?[0-7]{3}$/.test(v), 'an octal file mode such as "0660"'),
  plugin_endpoint: v =>
    unless(
      (isUrl(v, ["http:", "https:"]) && !/^[a-z]+:\/\/[^/?#]*@/iu.test(v)) ||
        /^unix:\/\/\/[^:]+(?::\/.*)?$/u.test(v),
      "an http:// or https:// URL without user and password, unix:///path or unix:///path:/path-of-request",
    ),
  plugin_id: v =>
    unless(PLUGIN_ID.test(v) && v.length <= MAX_PLUGIN_ID, "a plugin id such as com.example.spam-filter"),
  // No URL parser: libpq allows an empty host (`postgres://user@/db?host=/run/postgresql`), WHATWG URLs do not.
  postgres_url: v => unless(/^postgres(ql)?:\/\/[^\s]+$/.test(v), "a postgres:// URL"),
};

function isFormat(name: string): name is TextFormat {
  return Object.hasOwn(CHECKS, name);
}

/** @returns what is allowed when `value` breaks the format, else undefined; names that are not ours pass */
export function checkFormat(format: string, value: string): string | undefined {
  return isFormat(format) ? CHECKS[format](value) : undefined;
}
