/** Arguments of MAIL and RCPT as commands carry them, for whoever sends mail on: by SMTP to the MTA, by LMTP to a next hop. Pure. */
import type { EnvelopeRecipient } from "../core/envelope.ts";
import { MairustError } from "../core/errors.ts";

/** What a server offered at EHLO or LHLO: keyword in upper case → its parameters. */
export type Extensions = ReadonlyMap<string, string>;

/** @param lines  of the reply to EHLO or LHLO, the greeting line first */
export function extensionsOf(lines: readonly string[]): Extensions {
  return new Map(
    lines.slice(1).flatMap(line => {
      const [keyword = "", ...rest] = line.trim().split(/\s+/u);
      return keyword === "" ? [] : [[keyword.toUpperCase(), rest.join(" ")] as const];
    }),
  );
}

/** @throws {MairustError} `address_syntax`: it would end the command */
export function inCommand(raw: string): string {
  if (!/[\r\n\0]/u.test(raw)) return raw;
  throw new MairustError("address_syntax", `Cannot send for ${JSON.stringify(raw)}: it has a line break`);
}

export function rcptCommand({ address, orcpt, notify }: EnvelopeRecipient, dsn: boolean): string {
  return [
    `RCPT TO:<${inCommand(address.raw)}>`,
    ...(dsn && notify !== undefined && notify.length > 0 ? [`NOTIFY=${notify.join(",")}`] : []),
    ...(dsn && orcpt?.includes(";") ? [`ORCPT=${orcptText(orcpt)}`] : []),
  ].join(" ");
}

/** `rfc822;user@host`: the type stays as it is. */
function orcptText(orcpt: string): string {
  const at = orcpt.indexOf(";");
  return `${orcpt.slice(0, at).replace(/[^A-Za-z0-9-]/gu, "")};${xtext(orcpt.slice(at + 1))}`;
}

/** RFC 3461 §4: octets outside "!".."~", and "+" and "=", as +HH. */
export function xtext(text: string): string {
  return Array.from(Buffer.from(text, "utf8"), octet =>
    octet < 0x21 || octet > 0x7e || octet === 0x2b || octet === 0x3d
      ? `+${octet.toString(16).toUpperCase().padStart(2, "0")}`
      : String.fromCharCode(octet),
  ).join("");
}
