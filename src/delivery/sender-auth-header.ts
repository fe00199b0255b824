/**
 * The Authentication-Results field: ours is written, and those of others that claim to be ours are found (message path, step 5). Pure.
 *
 * Sources: RFC 8601 §2.2, §2.3, §2.7, §5; RFC 6008 (header.b); RFC 8616
 */
import { domainToASCII } from "node:url";
import { headerFields, unfold } from "../core/mime/header.ts";
import type { AuthFact, AuthFacts, AuthResult } from "../core/ports/sender-auth.ts";
import type { Findings, SignatureFinding } from "./sender-auth-findings.ts";

export const AUTH_FIELD = "Authentication-Results";
/** Longest value and reason that is written, in characters. */
const MAX_VALUE = 255;
const MAX_WHY = 120;
const MAX_DETAIL = 300;

const UNCHECKED: AuthFact = { result: "none", detail: null };

/** As payloads and the store have it. */
export function factsOf({ spf, dkim, dmarc, arc }: Findings): AuthFacts {
  const best = dkim === undefined ? undefined : bestSignature(dkim, dmarc?.from ?? "");
  return {
    spf: spf === undefined ? UNCHECKED : fact(spf.result, spf.value, spf.why),
    dkim: best === undefined ? UNCHECKED : fact(best.result, signer(best), best.why),
    dmarc:
      dmarc === undefined
        ? UNCHECKED
        : fact(
            dmarc.result,
            [dmarc.from, ...(dmarc.policy === undefined ? [] : [`p=${dmarc.policy}`])].join(" "),
            dmarc.why,
          ),
    arc:
      arc === undefined
        ? UNCHECKED
        : fact(arc.result, arc.instance === 0 ? "" : `i=${arc.instance}`, arc.why),
  };
}

/** Nothing could be found out about what was to be checked. */
export function unknownFindings(checks: readonly string[], why: string): Findings {
  const result = "temperror";
  const unknown = { domain: "", selector: "", algorithm: "", b: "" };
  return {
    ...(checks.includes("spf") ? { spf: { result, why, identity: "mailfrom", value: "" } } : {}),
    ...(checks.includes("dkim") ? { dkim: [{ ...unknown, result, why }] } : {}),
    ...(checks.includes("dmarc") ? { dmarc: { result, why, from: "" } } : {}),
    ...(checks.includes("arc") ? { arc: { result, why, instance: 0 } } : {}),
  };
}

function fact(result: AuthResult, about: string, why: string | undefined): AuthFact {
  const parts = [printable(about), ...(why === undefined ? [] : [printable(why)])].filter(
    part => part !== "",
  );
  return { result, detail: parts.length === 0 ? null : parts.join(": ").slice(0, MAX_DETAIL) };
}

const signer = ({ domain, selector }: SignatureFinding): string =>
  domain === "" ? "" : `${domain}${selector === "" ? "" : ` s=${selector}`}`;

/** What is best for the sender, and of two the one of the domain in From. */
const RANK: Readonly<Record<AuthResult, number>> = {
  ...{ pass: 0, temperror: 1, policy: 2, fail: 3, permerror: 4 },
  ...{ neutral: 5, softfail: 6, none: 7 },
};

function bestSignature(dkim: readonly SignatureFinding[], from: string): SignatureFinding | undefined {
  const rank = (one: SignatureFinding) => RANK[one.result] * 2 + (one.domain === from ? 0 : 1);
  return [...dkim].sort((one, other) => rank(one) - rank(other))[0];
}

/** Value of the field, folded: our name first, then one line for each result. */
export function headerValue(authservId: string, findings: Findings): string {
  const { spf, dkim, dmarc, arc } = findings;
  const lines = [
    ...(spf === undefined
      ? []
      : [row("spf", spf.result, spf.why, [[`smtp.${spf.identity}`, mailbox(spf.value)]])]),
    ...(dkim === undefined ? [] : dkim.length === 0 ? ["dkim=none"] : dkim.map(dkimRow)),
    ...(dmarc === undefined
      ? []
      : [
          row(
            "dmarc",
            dmarc.result,
            dmarc.why,
            [["header.from", value(dmarc.from)]],
            dmarc.policy === undefined ? undefined : `p=${dmarc.policy}`,
          ),
        ]),
    ...(arc === undefined
      ? []
      : [row("arc", arc.result, arc.why, [], arc.instance === 0 ? undefined : `i=${arc.instance}`)]),
  ];
  return [value(authservId), ...(lines.length === 0 ? ["none"] : lines)].join(";\r\n\t");
}

function dkimRow({ result, why, domain, selector, algorithm, b }: SignatureFinding): string {
  return row("dkim", result, why, [
    ["header.d", value(domain)],
    ["header.s", value(selector)],
    ["header.a", value(algorithm)],
    ["header.b", value(b)],
  ]);
}

function row(
  method: string,
  result: AuthResult,
  why: string | undefined,
  properties: ReadonlyArray<readonly [name: string, value: string]>,
  comment?: string,
): string {
  const said = comment ?? (result === "pass" ? undefined : why);
  return [
    `${method}=${result}`,
    ...(said === undefined || said === "" ? [] : [`(${commentText(said)})`]),
    ...properties.flatMap(([name, text]) => (text === "" ? [] : [`${name}=${text}`])),
  ].join(" ");
}

function commentText(text: string): string {
  return printable(text)
    .slice(0, MAX_WHY)
    .replace(/[()\\]/gu, " ");
}

/** US-ASCII on one line, as data. */
function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]+/gu, "?").trim();
}

/** `@domain` where the local part is none that can stand there. */
function mailbox(text: string): string {
  const at = text.lastIndexOf("@");
  if (at < 0) return value(text);
  const local = text.slice(0, at);
  const domain = value(domainToASCII(text.slice(at + 1)) || text.slice(at + 1));
  if (domain.startsWith('"')) return value(text);
  const isPlain = /^[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}$/u.test(local);
  return `${isPlain ? local : ""}@${domain}`;
}

/** RFC 8601 §2.2 `pvalue`: a token, else a quoted string. */
function value(text: string): string {
  const plain = printable(text).slice(0, MAX_VALUE);
  if (/^[^\s()<>@,;:\\"/[\]?=]*$/u.test(plain)) return plain;
  return `"${plain.replace(/["\\]/gu, "\\$&")}"`;
}

/** Of the field's value: the name that stands first, comments and quotes taken off; "" for none. */
export function authservIdOf(text: string): string {
  let rest = text.trimStart();
  // A comment may stand first, and may hold others.
  while (rest.startsWith("(")) rest = rest.slice(commentEnd(rest)).trimStart();
  if (rest.startsWith('"')) {
    const [, quoted = ""] = /^"((?:[^"\\]|\\.)*)"/su.exec(rest) ?? [];
    return quoted.replace(/\\(.)/gsu, "$1").trim();
  }
  return /^[^\s;(]*/u.exec(rest)?.[0] ?? "";
}

function commentEnd(text: string): number {
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (character === "\\") at++;
    else if (character === "(") depth++;
    else if (character === ")" && --depth === 0) return at + 1;
  }
  return text.length;
}

/** Host names know no case, and end with a dot or not. */
export function isSameId(one: string, other: string): boolean {
  const plain = (id: string) => id.toLowerCase().replace(/\.+$/u, "");
  return one !== "" && plain(one) === plain(other);
}

/** Finds forged fields in a header that comes in pieces, each of whole fields. */
export class AuthFields {
  readonly #isOurs: (value: string) => boolean;
  readonly #ours: number[] = [];
  #seen = 0;
  #isOver = false;

  constructor(isOurs: (value: string) => boolean) {
    this.#isOurs = isOurs;
  }

  write(chunk: Uint8Array): void {
    if (this.#isOver) return;
    this.#isOver = chunk.length <= 2 || EMPTY_LINE.equals(chunk.subarray(-EMPTY_LINE.length));
    for (const { name, value: octets } of headerFields(chunk)) {
      if (name !== AUTH_FIELD.toLowerCase()) continue;
      this.#seen++;
      if (this.#isOurs(unfold(octets))) this.#ours.push(this.#seen);
    }
  }

  /** Fields that have the name. */
  get count(): number {
    return this.#seen;
  }

  /** Numbers among those of the name, from 1. */
  get ours(): readonly number[] {
    return this.#ours;
  }
}

const EMPTY_LINE = Buffer.from("\r\n\r\n");
