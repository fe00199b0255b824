/**
 * Facts about a sender that the milter found out, taken over at LMTP (message path, step 6): out of the Authentication-Results field
 * that the milter added. The trace field holds its digest under our HMAC, so no other field is believed, and nothing is asked of the
 * database. Pure.
 *
 * Only what `headerValue` writes is read; anything else leaves the facts out.
 */
import { headerFields, unfold } from "../core/mime/header.ts";
import type { AuthFacts, AuthResult } from "../core/ports/sender-auth.ts";
import type { Findings } from "./sender-auth-findings.ts";
import { AUTH_FIELD, factsOf } from "./sender-auth-header.ts";
import { fieldDigest } from "./trace-field.ts";

/** Fields of the name that are looked at, from the top. */
const MAX_FIELDS = 20;
const LINE = /^([a-z]+)=([a-z]+)(?: \(([^()]*)\))?((?: [a-z]+\.[a-z]+=(?:"(?:[^"\\]|\\.)*"|[^\s"]+))*)$/u;
const PROPERTY = / ([a-z]+\.[a-z]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s"]+))/gu;
const RESULTS: readonly AuthResult[] = [
  ...(["none", "pass", "fail", "softfail"] as const),
  ...(["neutral", "temperror", "permerror", "policy"] as const),
];

/** @param digest  of the field's value, as the trace field has it */
export function takenFacts(header: Uint8Array, digest: string | undefined): AuthFacts | undefined {
  if (digest === undefined) return undefined;
  let seen = 0;
  for (const { name, value } of headerFields(header)) {
    if (name !== AUTH_FIELD.toLowerCase()) continue;
    const text = unfold(value);
    if (fieldDigest(text) === digest) return factsOfValue(text);
    if (++seen === MAX_FIELDS) return undefined;
  }
  return undefined;
}

interface Line {
  readonly method: string;
  readonly result: AuthResult;
  readonly comment: string | undefined;
  readonly properties: ReadonlyMap<string, string>;
}

/** @param text  unfolded value of a field that is ours */
export function factsOfValue(text: string): AuthFacts | undefined {
  const [, ...items] = splitItems(text);
  const lines = items.map(readLine);
  if (lines.some(line => line === undefined)) return undefined;
  const of = (method: string) => lines.flatMap(line => (line?.method === method ? [line] : []));
  return factsOf(findingsOf(of));
}

function findingsOf(of: (method: string) => readonly Line[]): Findings {
  const [spf] = of("spf");
  const [dmarc] = of("dmarc");
  const [arc] = of("arc");
  const dkim = of("dkim");
  const why = (line: Line) =>
    line.result === "pass" || line.comment === undefined ? {} : { why: line.comment };
  const policy = /^p=([a-z]+)$/u.exec(dmarc?.comment ?? "")?.[1];
  const instance = Number(/^i=(\d+)$/u.exec(arc?.comment ?? "")?.[1] ?? 0);
  return {
    ...(spf === undefined ? {} : { spf: { ...spfOf(spf), ...why(spf) } }),
    ...(dkim.length === 0
      ? {}
      : {
          dkim: dkim
            .filter(({ result }) => result !== "none")
            .map(line => ({
              result: line.result,
              domain: line.properties.get("header.d") ?? "",
              selector: line.properties.get("header.s") ?? "",
              algorithm: line.properties.get("header.a") ?? "",
              b: line.properties.get("header.b") ?? "",
              ...why(line),
            })),
        }),
    ...(dmarc === undefined
      ? {}
      : {
          dmarc: {
            result: dmarc.result,
            from: dmarc.properties.get("header.from") ?? "",
            ...(policy === undefined ? why(dmarc) : { policy }),
          },
        }),
    ...(arc === undefined
      ? {}
      : { arc: { result: arc.result, instance, ...(instance === 0 ? why(arc) : {}) } }),
  };
}

function spfOf({ result, properties }: Line) {
  const helo = properties.get("smtp.helo");
  return helo === undefined
    ? ({ result, identity: "mailfrom", value: properties.get("smtp.mailfrom") ?? "" } as const)
    : ({ result, identity: "helo", value: helo } as const);
}

/** At semicolons that stand in no quotes and no comment. */
function splitItems(text: string): readonly string[] {
  return (text.match(/(?:"(?:[^"\\]|\\.)*"|\([^()]*\)|[^;"(])+/gu) ?? []).map(item => item.trim());
}

function readLine(text: string): Line | undefined {
  const [, method, said, comment, properties = ""] = LINE.exec(text) ?? [];
  const result = RESULTS.find(one => one === said);
  if (method === undefined || result === undefined) return text === "none" ? NOTHING : undefined;
  const found = [...properties.matchAll(PROPERTY)].map(
    ([, name = "", quoted, plain = ""]) =>
      [name, quoted === undefined ? plain : quoted.replace(/\\(.)/gu, "$1")] as const,
  );
  return { method, result, comment, properties: new Map(found) };
}

const NOTHING: Line = { method: "", result: "none", comment: undefined, properties: new Map() };
