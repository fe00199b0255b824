/**
 * What the MTA tells before the content: macros, the client, sender and recipients → one envelope. Pure.
 *
 * A macro that is missing is unknown, never an error; a parameter that cannot be read is left out: the MTA accepted it.
 * Macros live as long as what they are sent for: those of the connection and of HELO until the next of their kind, all others
 * until the message ends.
 *
 * Sources: Postfix MILTER_README (macros), src/smtpd/smtpd_milter.c, src/cleanup/cleanup_milter.c (mail without SMTP);
 * RFC 3461 §4; RFC 1870; RFC 6152; RFC 6531
 */
import { type ClientFacts, type MailAddress, parseMailAddress } from "../../core/envelope.ts";
import type { MilterEnvelope, MilterRecipient } from "../../core/ports/milter.ts";
import { decodeXtext } from "../../core/xtext.ts";
import { plainAddress } from "../../platform/networks.ts";
import type { CommandOf, Options } from "./codec.ts";
import { directionOf, type OutboundRules } from "./direction.ts";
import { possibleEdits } from "./edits.ts";
import { VALUE_CHARS } from "./limits.ts";
import { SMFIC_CONNECT, SMFIC_HELO, SMFIC_MAIL, SMFIP_NOBODY, SMFIP_NOHDRS } from "./symbols.ts";

type ConnectCommand = CommandOf<"connect">;

/** Others are not kept, whatever the MTA sends. */
const KEPT: ReadonlySet<string> = new Set([
  "i",
  "j",
  "daemon_name",
  "client_addr",
  "client_name",
  "auth_authen",
  "auth_type",
  "tls_version",
  "cert_subject",
]);

type MacroMap = Map<string, string>;

/** The macros in force; bounded by the names in {@link KEPT}. */
export class Macros {
  #connect: MacroMap = new Map();
  #helo: MacroMap = new Map();
  /** Sent ahead of a MAIL that has not come yet: it may end the message before. */
  #mail: MacroMap = new Map();
  #message: MacroMap = new Map();

  set({ stage, macros }: CommandOf<"macro">): void {
    const kept = macros
      .filter(([name]) => KEPT.has(name))
      .map(([name, value]) => [name, cut(value)] as const);
    if (stage === SMFIC_CONNECT) this.#connect = new Map(kept);
    else if (stage === SMFIC_HELO) this.#helo = new Map(kept);
    else if (stage === SMFIC_MAIL) this.#mail = new Map(kept);
    else for (const [name, value] of kept) this.#message.set(name, value);
  }

  /** @returns "" when unknown */
  get(name: string): string {
    return this.#message.get(name) ?? this.#helo.get(name) ?? this.#connect.get(name) ?? "";
  }

  beginMessage(): void {
    this.#message = this.#mail;
    this.#mail = new Map();
  }

  endMessage(): void {
    this.#message = new Map();
  }

  /** Another client follows. */
  clear(): void {
    this.#connect = new Map();
    this.#helo = new Map();
    this.#mail = new Map();
    this.#message = new Map();
  }
}

/** The SMTP client as CONNECT and HELO told it. */
export interface Client {
  readonly connect: ConnectCommand | undefined;
  readonly helo: string | undefined;
}

export interface EnvelopeParts {
  readonly client: Client;
  readonly macros: Macros;
  readonly mailArgs: readonly string[];
  readonly recipients: readonly MilterRecipient[];
  readonly rules: OutboundRules;
  readonly agreed: Options;
}

export function buildEnvelope(parts: EnvelopeParts): MilterEnvelope {
  const { client, macros, mailArgs, recipients, rules, agreed } = parts;
  const queueId = macros.get("i");
  const daemonName = macros.get("daemon_name");
  const user = macros.get("auth_authen");
  const mechanism = macros.get("auth_type");
  const version = macros.get("tls_version");
  const certSubject = macros.get("cert_subject");
  const facts = clientFacts(client, macros, queueId);
  const parameters = parametersOf(mailArgs);
  const size = parameters.get("SIZE") ?? "";
  const ret = parameters.get("RET")?.toUpperCase();
  const envid = xtext(parameters.get("ENVID"));
  return {
    direction: directionOf({ authUser: user, daemonName, clientAddress: facts.address }, rules),
    content: contentOf(agreed),
    edits: possibleEdits(agreed),
    queueId,
    mta: macros.get("j"),
    daemonName,
    client: facts,
    ...(version === "" ? {} : { tls: { version, ...(certSubject === "" ? {} : { certSubject }) } }),
    ...(user === "" ? {} : { auth: { user, ...(mechanism === "" ? {} : { mechanism }) } }),
    mailFrom: addressOf(mailArgs),
    mailArgs: mailArgs.slice(1),
    recipients,
    dsn: {
      ...(ret === "FULL" || ret === "HDRS" ? { ret } : {}),
      ...(envid === undefined ? {} : { envid }),
    },
    ...(/^\d{1,15}$/u.test(size) ? { declaredSizeBytes: Number(size) } : {}),
    body8bit: parameters.get("BODY")?.toUpperCase() === "8BITMIME",
    smtpUtf8: parameters.has("SMTPUTF8"),
  };
}

function contentOf({ steps }: Options): MilterEnvelope["content"] {
  if ((steps & SMFIP_NOHDRS) !== 0) return "nothing";
  return (steps & SMFIP_NOBODY) !== 0 ? "headers" : "whole";
}

export function recipientOf(args: readonly string[]): MilterRecipient {
  const parameters = parametersOf(args);
  const orcpt = xtext(parameters.get("ORCPT"));
  const notify = parameters.get("NOTIFY")?.toUpperCase().split(",");
  return {
    address: addressOf(args),
    args: args.slice(1),
    ...(orcpt === undefined ? {} : { orcpt }),
    ...(notify === undefined ? {} : { notify }),
  };
}

function clientFacts({ connect, helo }: Client, macros: Macros, ident: string): ClientFacts {
  const address = connect === undefined ? "" : addressText(connect) || macros.get("client_addr");
  const name = hostName(connect?.host ?? "") || hostName(macros.get("client_name"));
  return {
    ...(name === "" ? {} : { name }),
    ...(address === "" ? {} : { address }),
    ...(connect?.family === "inet" || connect?.family === "inet6" ? { port: connect.port } : {}),
    ...(helo === undefined ? {} : { helo: cut(helo) }),
    ...(ident === "" ? {} : { ident }),
  };
}

/** Sendmail writes `IPv6:` in front. A path of a UNIX socket is no address. */
function addressText({ family, address }: ConnectCommand): string {
  if (family !== "inet" && family !== "inet6") return "";
  return plainAddress(cut(address.replace(/^IPv6:/iu, "")));
}

/** Without a name in DNS MTAs write `unknown` or the address in brackets. */
function hostName(host: string): string {
  return host.startsWith("[") || host.toLowerCase() === "unknown" ? "" : cut(host);
}

function addressOf(args: readonly string[]): MailAddress {
  const text = args[0] ?? "";
  return parseMailAddress(text.startsWith("<") && text.endsWith(">") ? text.slice(1, -1) : text);
}

/** Names in upper case; "" for one without value. The first of a name counts. */
function parametersOf(args: readonly string[]): ReadonlyMap<string, string> {
  const parameters = new Map<string, string>();
  for (const arg of args.slice(1)) {
    const at = arg.indexOf("=");
    const name = (at < 0 ? arg : arg.slice(0, at)).toUpperCase();
    if (!parameters.has(name)) parameters.set(name, at < 0 ? "" : arg.slice(at + 1));
  }
  return parameters;
}

/** Undefined too when it hides control characters. */
function xtext(value: string | undefined): string | undefined {
  if (value === undefined || value === "") return undefined;
  const decoded = decodeXtext(value);
  return decoded === undefined || /[\u0000-\u001f\u007f-\u009f]/u.test(decoded) ? undefined : decoded;
}

function cut(value: string): string {
  return value.length > VALUE_CHARS ? value.slice(0, VALUE_CHARS) : value;
}
