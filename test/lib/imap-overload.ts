/**
 * Overload of one sidecar by IMAP (quality R8): more strangers than may be there, silent ones and handshakes that never end, and readers that
 * ask for much and take nothing. Meanwhile mail is delivered, Dovecot's listener serves, and a client of the other one gets in.
 */
import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { sleep } from "../../src/platform/deadline.ts";
import { ImapTestClient } from "./imap-client.ts";
import { MailDialog } from "./mail-dialog.ts";
import { metricsText } from "./service-metrics.ts";
import type { Sidecar } from "./sidecar.ts";

const CONNECTIONS = 300;
/** Of `client_listen`: half of them silent, half of them in a handshake that they do not go on with. */
const STRANGERS = 400;
const SLOW_READERS = 30;
const LARGE_MESSAGES = 40;
const LARGE_BYTES = 200_000;
/** FETCH commands for all of them that a slow reader sends. */
const UNREAD_COMMANDS = 20;
const ADDRESS = "crowded@example.test";
/** How often a stranger that was cut comes again, and a client that was refused tries. */
const AGAIN_MS = 20;
const GIVE_UP_MS = 60_000;
const MAX_MIB = 400;
/** What TLS 1.2 begins with: a record's head, and nothing behind it. */
const HALF_HELLO = Buffer.from([22, 3, 1, 1, 0, 1]);

export interface ImapOverloadReport {
  readonly strangers: number;
  /** By listener and reason, as the service counts them. */
  readonly refused: Readonly<Record<string, number>>;
  readonly dovecotLogins: number;
  readonly dovecotRefused: number;
  /** A command and its answer on Dovecot's listener meanwhile: the slowest. */
  readonly slowestMs: number;
  /** Until a client was logged in at the crowded listener; undefined: never. */
  readonly clientInMs: number | undefined;
  readonly accepted: number;
  readonly found: number;
  readonly isSameProcess: boolean;
  readonly peakMiB: number;
  /** Connections that the service counts when all are gone. */
  readonly left: number;
}

export interface ImapOverloadPorts {
  readonly plain: number;
  readonly tls: number;
}

/** Lines for `[imap]` of a sidecar for this run. */
export const crowdedImap = ({ plain, tls }: ImapOverloadPorts): string =>
  `connections = ${CONNECTIONS}\nconnections_per_user = ${CONNECTIONS}\nclient_listen = ["inet:127.0.0.1:${plain}", "tls:127.0.0.1:${tls}"]`;

export async function imapOverloadRun(
  sidecar: Sidecar,
  ports: ImapOverloadPorts,
  seconds: number,
): Promise<ImapOverloadReport> {
  const pid = sidecar.pid;
  const dialog = await MailDialog.open(sidecar.lmtpPort, "lmtp");
  const state = { over: false, accepted: 0, logins: 0, refused: 0, slowestMs: 0 };
  const send = async (bytes: number) => {
    const message = Buffer.from(
      `Subject: ${state.accepted}\r\n\r\n${"text and text\r\n".repeat(bytes / 15)}`,
    );
    const [reply] = await dialog.submit({ from: "s@example.org", to: [ADDRESS], message });
    if (reply?.startsWith("250") === true) state.accepted += 1;
  };
  for (let i = 0; i < LARGE_MESSAGES; i++) await send(LARGE_BYTES);
  const strangers = Array.from({ length: STRANGERS }, (_, i) => stranger(ports, i, () => state.over));
  const readers = Array.from({ length: SLOW_READERS }, () => slowReader(sidecar));
  const clientIn = firstLogin(sidecar, ports.tls);
  const end = performance.now() + seconds * 1000;
  while (performance.now() < end) {
    await send(500);
    const startedAt = performance.now();
    const client = await login(new ImapTestClient(sidecar.imapPort), sidecar);
    if (client === undefined) state.refused += 1;
    else {
      state.logins += 1;
      await client.command("SELECT INBOX");
      state.slowestMs = Math.max(state.slowestMs, performance.now() - startedAt);
      client.close();
    }
  }
  const clientInMs = await clientIn;
  state.over = true;
  for (const reader of readers) reader.destroy();
  await Promise.all(strangers);
  dialog.close();
  const found = await count(sidecar);
  return {
    strangers: STRANGERS,
    refused: refusals(await metricsText(sidecar.apiSocket)),
    dovecotLogins: state.logins,
    dovecotRefused: state.refused,
    slowestMs: Math.round(state.slowestMs),
    clientInMs,
    accepted: state.accepted,
    found,
    isSameProcess: sidecar.running() && sidecar.pid === pid,
    peakMiB: peakMiB(pid),
    left: await whenGone(sidecar),
  };
}

/** @returns promises that were not kept, whatever the machine's speed */
export function keptByImap(report: ImapOverloadReport): readonly string[] {
  const refused = (reason: string) => report.refused[`client ${reason}`] ?? 0;
  const checks: ReadonlyArray<readonly [isKept: boolean, promise: string]> = [
    [report.isSameProcess, "it did not crash"],
    [report.found === report.accepted, "every 250 is found by IMAP"],
    [refused("clients") + refused("strangers") > 0, "strangers beyond the limits are refused"],
    [Object.keys(report.refused).every(key => key.startsWith("client ")), "nobody else is refused"],
    [report.dovecotRefused === 0 && report.dovecotLogins > 0, "Dovecot always gets in"],
    [report.clientInMs !== undefined, "a client gets in among strangers"],
    [report.peakMiB <= MAX_MIB, `memory stays below ${MAX_MIB} MiB`],
    [report.left === 0, "nothing is left of those that are gone"],
  ];
  return checks.filter(([isKept]) => !isKept).map(([, promise]) => promise);
}

/** Comes again whenever it was cut, until it is over. */
async function stranger(ports: ImapOverloadPorts, index: number, isOver: () => boolean): Promise<void> {
  const isTls = index % 2 === 1;
  while (!isOver()) {
    const socket = connect(isTls ? ports.tls : ports.plain, "127.0.0.1");
    socket.on("error", () => undefined);
    socket.resume();
    if (isTls) socket.write(HALF_HELLO);
    while (!isOver() && !socket.closed) await sleep(AGAIN_MS);
    socket.destroy();
  }
}

/** Asks for very much, and reads nothing. */
function slowReader(sidecar: Sidecar): Socket {
  const socket = connect(sidecar.imapPort, "127.0.0.1");
  socket.on("error", () => undefined);
  socket.pause();
  socket.write(
    `${authenticate(sidecar)}b SELECT INBOX\r\n${"c FETCH 1:* (BODY.PEEK[])\r\n".repeat(UNREAD_COMMANDS)}`,
  );
  return socket;
}

function authenticate({ masterPassword }: Sidecar): string {
  const plain = Buffer.from(`${ADDRESS}\0dovecot\0${masterPassword}`).toString("base64");
  return `a AUTHENTICATE PLAIN ${plain}\r\n`;
}

/** @returns undefined when it was refused */
async function login(client: ImapTestClient, sidecar: Sidecar): Promise<ImapTestClient | undefined> {
  if ((await client.line()).startsWith("* OK")) {
    client.send(authenticate(sidecar));
    if ((await client.line()).startsWith("a OK")) return client;
  }
  client.close();
  return undefined;
}

/** Tries as a client does that was refused. @returns ms until it was logged in */
async function firstLogin(sidecar: Sidecar, port: number): Promise<number | undefined> {
  const startedAt = performance.now();
  while (performance.now() - startedAt < GIVE_UP_MS) {
    const socket = connectTls({ port, host: "127.0.0.1", rejectUnauthorized: false });
    const client = await login(new ImapTestClient(socket), sidecar);
    client?.close();
    if (client !== undefined) return Math.round(performance.now() - startedAt);
    await sleep(AGAIN_MS);
  }
  return undefined;
}

async function count(sidecar: Sidecar): Promise<number> {
  const client = await login(new ImapTestClient(sidecar.imapPort), sidecar);
  const answers = (await client?.command("SELECT INBOX")) ?? [];
  client?.close();
  return Number(/^\* (\d+) EXISTS$/mu.exec(answers.join("\n"))?.[1]);
}

function refusals(metrics: string): Readonly<Record<string, number>> {
  const lines = metrics.matchAll(
    /^mairust_imap_refused_connections_total\{listener="(\w+)",reason="(\w+)"\} (\d+)/gmu,
  );
  return Object.fromEntries(
    Array.from(lines, ([, listener, reason, value]) => [`${listener} ${reason}`, Number(value)]),
  );
}

/** @returns connections that are still counted after a while */
async function whenGone(sidecar: Sidecar): Promise<number> {
  for (const end = performance.now() + GIVE_UP_MS; ; await sleep(AGAIN_MS)) {
    const open = (await metricsText(sidecar.apiSocket)).matchAll(
      /^mairust_imap_connections\{[^}]*\} (\d+)/gmu,
    );
    const left = Array.from(open, ([, value]) => Number(value)).reduce((sum, value) => sum + value, 0);
    if (left === 0 || performance.now() > end) return left;
  }
}

/** proc(5), VmHWM. */
function peakMiB(pid: number): number {
  const kib = /^VmHWM:\s+(\d+) kB$/mu.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return Math.round(Number(kib) / 1024);
}
