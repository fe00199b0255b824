/**
 * What is asked of the MTA when it connects. Pure.
 *
 * Only what the hooks need is transferred: no body, or nothing of the content, when nobody reads it. On a UNIX socket no step is
 * answered but the end of the message. On TCP each one is: Postfix sends small packets with Nagle's algorithm on, and a packet
 * without an answer makes the next one wait for a delayed ACK, 40 ms for each message. For the same reason DATA is not left out
 * there: Postfix sends its macros all the same.
 *
 * Everything asked for is cut down to what the MTA offers. Postfix empties the macro lists of all stages as soon as one is sent, so
 * that each stage has its list here.
 *
 * Sources: sendmail libmilter/engine.c (st_optionneg); Postfix src/milter/milter8.c (milter8_connect), milter(5) macros
 */
import type { MilterNeeds } from "../../core/ports/milter.ts";
import type { Options } from "./codec.ts";
import { MilterProtocolError } from "./protocol-error.ts";
import type { SymbolList } from "./responses.ts";
import * as s from "./symbols.ts";

export type SocketKind = "unix" | "tcp";

/** What holds for the connection from now on. */
export interface Negotiated extends Options {
  readonly symbols: readonly SymbolList[];
}

const NO_REPLY =
  s.SMFIP_NR_CONN |
  s.SMFIP_NR_HELO |
  s.SMFIP_NR_MAIL |
  s.SMFIP_NR_RCPT |
  s.SMFIP_NR_DATA |
  s.SMFIP_NR_UNKN |
  s.SMFIP_NR_HDR |
  s.SMFIP_NR_EOH |
  s.SMFIP_NR_BODY;

const SYMBOLS: readonly SymbolList[] = [
  [s.SMFIM_CONNECT, ["j", "{daemon_name}", "{client_addr}", "{client_name}"]],
  [s.SMFIM_HELO, ["{tls_version}", "{cert_subject}"]],
  // TLS once more: a client may say MAIL without HELO.
  [s.SMFIM_ENVFROM, ["i", "{auth_type}", "{auth_authen}", "{mail_addr}", "{tls_version}", "{cert_subject}"]],
  // Postfix knows the queue id from the second recipient on.
  [s.SMFIM_ENVRCPT, ["i", "{rcpt_addr}"]],
  [s.SMFIM_DATA, ["i"]],
  [s.SMFIM_EOH, ["i"]],
  [s.SMFIM_EOM, ["i"]],
];

/**
 * @param offer  SMFIC_OPTNEG as received
 * @throws {MilterProtocolError} `negotiation`: a version below 2, or an MTA that lets nobody change headers although that is needed
 */
export function negotiate(offer: Options, needs: MilterNeeds, socket: SocketKind): Negotiated {
  if (offer.version < s.VERSION_MIN) {
    throw new MilterProtocolError(
      "negotiation",
      `Cannot speak milter protocol version "${offer.version}": the oldest is "${s.VERSION_MIN}"`,
    );
  }
  const version = Math.min(offer.version, s.VERSION_MAX);
  const required = requiredActions(needs);
  if ((required & offer.actions) !== required) {
    throw new MilterProtocolError(
      "negotiation",
      `Cannot edit messages: the MTA offers actions 0x${offer.actions.toString(16)}, needed are 0x${required.toString(16)}`,
    );
  }
  const actions = (required | wantedActions(needs)) & offer.actions;
  return {
    version,
    actions,
    steps: wantedSteps(needs, socket) & offer.steps,
    symbols: (actions & s.SMFIF_SETSYMLIST) === 0 ? [] : SYMBOLS,
  };
}

export function needsBody(needs: MilterNeeds): boolean {
  return needs.body || needs.hold;
}

export function needsHeaders(needs: MilterNeeds): boolean {
  return needs.headers || needsBody(needs);
}

function requiredActions(needs: MilterNeeds): number {
  const headers = needsHeaders(needs) ? s.SMFIF_ADDHDRS | s.SMFIF_CHGHDRS : 0;
  const recipients = needs.recipients ? s.SMFIF_ADDRCPT | s.SMFIF_DELRCPT : 0;
  return headers | recipients | (needs.replaceBody ? s.SMFIF_CHGBODY : 0);
}

function wantedActions(needs: MilterNeeds): number {
  return s.SMFIF_SETSYMLIST | (needs.quarantine ? s.SMFIF_QUARANTINE : 0);
}

function wantedSteps(needs: MilterNeeds, socket: SocketKind): number {
  // The blank behind a field's colon is told and not guessed: signatures cover it.
  let steps = s.SMFIP_NOUNKNOWN | s.SMFIP_HDR_LEADSPC;
  if (!needsHeaders(needs)) steps |= s.SMFIP_NOHDRS | s.SMFIP_NOEOH;
  if (!needsBody(needs)) steps |= s.SMFIP_NOBODY;
  // SKIP is an answer to a piece of the body: on UNIX sockets there is none.
  return steps | (socket === "unix" ? NO_REPLY | s.SMFIP_NODATA : s.SMFIP_SKIP);
}
