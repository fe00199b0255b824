/** Commands of one transaction at the next hop, with what the server offered, and its replies as ours (message path, step 7). Pure. */
import type { ClientFacts } from "../../core/envelope.ts";
import type { RelayMessage, RelayReply } from "../../core/ports/relay.ts";
import { type Extensions, inCommand, rcptCommand, xtext } from "../mail-commands.ts";
import type { ServerReply } from "../mail-socket.ts";

/** Octets of reply text that are passed on. */
const MAX_TEXT = 400;
const ENHANCED = /^([245]\.\d{1,3}\.\d{1,3})(?:\s+|$)/u;

/** What goes out before the content, in one write where the server takes it so. */
export function transactionCommands(message: RelayMessage, offered: Extensions): readonly string[] {
  const xforward = xforwardCommand(message.client, offered.get("XFORWARD"));
  return [
    ...(xforward === undefined ? [] : [xforward]),
    mailCommand(message, offered),
    ...message.recipients.map(recipient => rcptCommand(recipient, offered.has("DSN"))),
  ];
}

function mailCommand(message: RelayMessage, offered: Extensions): string {
  const { mailFrom, dsn, body8bit, smtpUtf8, top, sizeBytes } = message;
  const hasDsn = offered.has("DSN");
  return [
    `MAIL FROM:<${inCommand(mailFrom.raw)}>`,
    ...(offered.has("SIZE") ? [`SIZE=${top.length + sizeBytes}`] : []),
    ...(body8bit && offered.has("8BITMIME") ? ["BODY=8BITMIME"] : []),
    // Dovecot 2.3 does not offer it; it takes such headers all the same, and refuses such addresses itself.
    ...(smtpUtf8 && offered.has("SMTPUTF8") ? ["SMTPUTF8"] : []),
    ...(hasDsn && dsn.ret !== undefined ? [`RET=${dsn.ret}`] : []),
    ...(hasDsn && dsn.envid !== undefined ? [`ENVID=${xtext(dsn.envid)}`] : []),
  ].join(" ");
}

/** Postfix XFORWARD_README: attributes that the server names. Undefined: it offers none of them, or nothing is known. */
function xforwardCommand(client: ClientFacts, names: string | undefined): string | undefined {
  if (names === undefined) return undefined;
  const known: Readonly<Record<string, string | number | undefined>> = {
    NAME: client.name,
    ADDR: client.address,
    PORT: client.port,
    HELO: client.helo,
    PROTO: client.proto,
    IDENT: client.ident,
    SOURCE: client.source,
  };
  const words = names
    .toUpperCase()
    .split(" ")
    .flatMap(name => (known[name] === undefined ? [] : [`${name}=${xtext(String(known[name]))}`]));
  return words.length === 0 ? undefined : `XFORWARD ${words.join(" ")}`;
}

/** @returns undefined: no reply that a recipient can get */
export function relayReply({ code, lines }: ServerReply): RelayReply | undefined {
  if (!(code >= 200 && code < 300) && !(code >= 400 && code < 600)) return undefined;
  const texts = lines.map(line => line.slice(4));
  const enhanced = ENHANCED.exec(texts[0] ?? "")?.[1] ?? "";
  const isOfCode = enhanced.startsWith(`${Math.floor(code / 100)}.`);
  const text = texts
    .map(one => one.replace(ENHANCED, ""))
    .join(" ")
    .replace(/[^\x20-\x7e]/gu, "?")
    .slice(0, MAX_TEXT);
  return { code, enhanced: isOfCode ? enhanced : "", text };
}
