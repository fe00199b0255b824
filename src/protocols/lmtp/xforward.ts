/**
 * XFORWARD: what Postfix knows of the SMTP client behind it, its queue id among that. Pure.
 * Values are for headers, logs and the redelivery key, so control characters are made harmless here, as Postfix does.
 *
 * Source: https://www.postfix.org/XFORWARD_README.html; Postfix src/smtpd/smtpd.c (xforward_cmd: unknown names are 501,
 * values may have 255 characters, [UNAVAILABLE] and [TEMPUNAVAIL] mean unknown)
 */
import { isIP } from "node:net";
import type { ClientFacts } from "../../core/envelope.ts";
import { decodeXtext } from "../../core/xtext.ts";
import type { Parsed } from "./commands.ts";

/** As announced in the LHLO reply. */
export const XFORWARD_CAPABILITY = "XFORWARD NAME ADDR PROTO HELO SOURCE PORT IDENT";

const VALUE_CHARS = 255;

/**
 * Merge one XFORWARD command into what is known: Postfix splits the attributes over several.
 * @param line  `XFORWARD NAME=… ADDR=…` without CRLF
 */
export function parseXforward(line: Buffer, known: ClientFacts): Parsed<ClientFacts> {
  const words = line
    .toString("utf8")
    .trim()
    .split(/[ \t]+/u)
    .slice(1);
  if (words.length === 0) return syntaxError("no attribute");
  let facts: ClientFacts = known;
  for (const word of words) {
    const equals = word.indexOf("=");
    const name = word.slice(0, Math.max(equals, 0)).toUpperCase();
    const value = decodeXtext(word.slice(equals + 1));
    if (equals < 1 || value === undefined || value.length > VALUE_CHARS) return syntaxError("bad attribute");
    const changed = withAttribute(facts, name, value);
    if (changed === undefined) return syntaxError(`bad ${isFieldName(name) ? name : "attribute name"}`);
    facts = changed;
  }
  return { kind: "ok", value: facts };
}

const FIELDS = {
  NAME: "name",
  ADDR: "address",
  PORT: "port",
  PROTO: "proto",
  HELO: "helo",
  IDENT: "ident",
  SOURCE: "source",
} as const satisfies Record<string, keyof ClientFacts>;

function isFieldName(name: string): name is keyof typeof FIELDS {
  return Object.hasOwn(FIELDS, name);
}

/** @returns undefined when the attribute is unknown or malformed */
function withAttribute(facts: ClientFacts, name: string, value: string): ClientFacts | undefined {
  if (!isFieldName(name)) return undefined;
  if (value === "" || /^\[(?:UNAVAILABLE|TEMPUNAVAIL)\]$/iu.test(value)) {
    const { [FIELDS[name]]: _unknown, ...rest } = facts;
    return rest;
  }
  const clean = value.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/gu, "?");
  switch (name) {
    case "ADDR": {
      const address = clean.replace(/^IPV6:/iu, "");
      return isIP(address) === 0 ? undefined : { ...facts, address };
    }
    case "PORT": {
      const port = /^\d{1,5}$/u.test(clean) ? Number(clean) : -1;
      return port < 0 || port > 65_535 ? undefined : { ...facts, port };
    }
    default:
      return { ...facts, [FIELDS[name]]: clean };
  }
}

function syntaxError(text: string): Parsed<never> {
  return { kind: "bad", reply: { code: 501, enhanced: "5.5.4", text: `XFORWARD: ${text}` } };
}
