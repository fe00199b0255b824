/**
 * The demonstration: a private Postfix, the sidecar as a process of its own, a private Dovecot; real mail through all three, and the
 * sidecar killed in between. It ends well only when every message arrived, tagged and filed, once, with the bytes that were sent.
 * Nothing stays behind. Needs root, because Postfix and Dovecot do.
 */
import { randomBytes } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Deadline } from "../core/deadline.ts";
import { MairustError } from "../core/errors.ts";
import { type Dovecot, startDovecot } from "../mailhost/dovecot.ts";
import { startPostfix } from "../mailhost/postfix.ts";
import { makeScratch } from "../mailhost/scratch.ts";
import { deadlineAfter } from "../platform/deadline.ts";
import type { PluginHealthBody } from "../wire/api/plugin-lifecycle.ts";
import { showHeld, showRefused } from "./at-the-door.ts";
import { checkFiled, checkRead, waitStored } from "./checks.ts";
import { sendMail, tryToSend } from "./mail-client.ts";
import {
  ALIASES,
  type DemoMessage,
  DOMAIN,
  demoMessages,
  HANAKO,
  held,
  refused,
  TARO,
  TEAM,
  whileDown,
} from "./messages.ts";
import { Sidecar } from "./sidecar.ts";
import { HELLO, makeSite, type Site } from "./site.ts";
import { type DemoOptions, MESSAGE_MS, type Stage } from "./stage.ts";

/** All servers are up within this, on a slow machine too. */
const START_MS = 120_000;
const STOP_MS = 30_000;

/** What to undo at the end, the newest first. */
class Undo {
  readonly #steps: (() => Promise<void>)[] = [];

  add(step: () => Promise<void>): void {
    this.#steps.push(step);
  }

  /** Every step runs, whatever fails. @throws {AggregateError} */
  async run(): Promise<void> {
    const failures: unknown[] = [];
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      try {
        await step();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0)
      throw new AggregateError(failures, "Cannot clean up everything after the demonstration");
  }
}

/** @returns false when a signal came before the end. @throws what did not work; everything is cleaned up in any case */
export async function runDemo(options: DemoOptions): Promise<boolean> {
  if (process.getuid?.() !== 0) {
    const text =
      'The demonstration starts a private Postfix and Dovecot, which needs root; "mairust dev" does not';
    throw new MairustError("not_permitted", text);
  }
  const signals = options.signals();
  const undo = new Undo();
  const interrupt = new AbortController();
  let isStopped = false;
  const ended = signals.next().then(() => interrupt.abort());
  try {
    const { stage, queueId } = await demonstrate(options, undo, interrupt.signal);
    if (options.once) return true;
    printGuide(stage, queueId);
    await ended;
    options.say("\nstopping …");
    isStopped = true;
    return true;
  } catch (error) {
    if (!interrupt.signal.aborted) throw error;
    options.say("\ninterrupted; stopping …");
    isStopped = true;
    return false;
  } finally {
    await undo.run();
    if (isStopped) options.say("stopped, nothing left");
    signals.release();
  }
}

/** @returns also the queue id of the last message, to ask about */
async function demonstrate(
  options: DemoOptions,
  undo: Undo,
  stop: AbortSignal,
): Promise<{ readonly stage: Stage; readonly queueId: string }> {
  const stage = await setUp(options, undo, stop);
  const run = randomBytes(4).toString("hex");
  const messages = demoMessages(run);
  for (const message of messages) await showMessage(stage, message);
  await showRefused(stage, refused(run));
  const program = held(run);
  await showHeld(stage, program);
  const late = whileDown(run);
  const queueId = await showRestart(stage, late);
  const arrived = [...messages, program, late];
  await showNothingLost(stage, arrived);
  const copies = arrived.reduce((sum, message) => sum + message.accounts.length, 0);
  options.say(
    `All well: ${arrived.length + 1} messages sent, 1 refused, ${copies} copies read back, none lost, none twice.`,
  );
  return { stage, queueId };
}

async function setUp(options: DemoOptions, undo: Undo, stop: AbortSignal): Promise<Stage> {
  const startedAt = performance.now();
  const deadline = deadlineAfter(START_MS, stop);
  const scratch = await makeScratch();
  undo.add(() => scratch.remove());
  const folder = async (name: string) => {
    const dir = join(scratch.dir, name);
    await mkdir(dir);
    return dir;
  };
  const [postfixDir, dovecotDir, siteDir] = [
    await folder("postfix"),
    await folder("dovecot"),
    await folder("mairust"),
  ];
  options.say("starting a private Postfix, the sidecar and a private Dovecot …");
  // Lines that let mail pass while the sidecar is killed: it then waits in the queue, to be seen there.
  const postfix = await startPostfix(
    { dir: postfixDir, domains: [DOMAIN], aliases: ALIASES, milter: "store" },
    deadline,
  );
  undo.add(() => postfix.stop());
  const sockets = { lmtp: postfix.lmtpSocket, milter: postfix.milterSocket, group: "postfix" };
  const site = await makeSite({
    dir: siteDir,
    domain: DOMAIN,
    sockets,
    smtpPort: postfix.smtpPort,
    atTheDoor: true,
    unsandboxed: "problem" in options.hostSandbox,
  });
  const sidecar = new Sidecar(options, site, join(scratch.dir, "mairust.log"));
  undo.add(() => stopSidecar(sidecar));
  await sidecar.start(deadline);
  const password = randomBytes(9).toString("base64url");
  const dovecot = await startPrivateDovecot(dovecotDir, site, password, deadline);
  undo.add(() => dovecot.stop());
  deadline.dispose();
  options.say(`up after ${((performance.now() - startedAt) / 1000).toFixed(1)} s`);
  await showSandbox(options, sidecar);
  return { options, site, sidecar, postfix, dovecot, password, stop };
}

/** Says what holds the plugins: as the service itself found it. */
async function showSandbox({ hostSandbox, say }: DemoOptions, sidecar: Sidecar): Promise<void> {
  if ("problem" in hostSandbox) {
    say(`this host holds plugins in no sandbox (${hostSandbox.problem}): they run as plain processes here\n`);
    return;
  }
  const health = await sidecar.ask<PluginHealthBody>(`/api/v1/admin/plugins/${HELLO}/health`);
  const limits = health?.limits ?? [];
  if (health?.status !== "ok" || limits.length === 0)
    throw new MairustError(
      "data_invalid",
      "The demonstration failed: its plugin does not run in the sandbox",
    );
  const held = (enforcement: string) =>
    limits.filter(one => one.enforcement === enforcement).map(({ limit }) => limit.replace("_", " "));
  say(`the plugins run in the sandbox of tier ${hostSandbox.tier}; enforced: ${held("enforced").join(", ")}`);
  const weak = [...held("best_effort"), ...held("not_enforced")];
  say(weak.length === 0 ? "" : `  not for certain on this host: ${weak.join(", ")}\n`);
}

function startPrivateDovecot(
  dir: string,
  site: Site,
  password: string,
  deadline: Deadline,
): Promise<Dovecot> {
  const upstream = {
    host: "127.0.0.1",
    port: site.imapPort,
    masterUser: site.masterUser,
    masterPassword: site.masterPassword,
  };
  const users = [TARO, HANAKO, ...TEAM].map(address => ({ address, password }));
  return startDovecot({ dir, mode: { kind: "imapc", upstream }, users }, deadline);
}

async function stopSidecar(sidecar: Sidecar): Promise<void> {
  const deadline = deadlineAfter(STOP_MS);
  await sidecar.stop(deadline);
  deadline.dispose();
}

/** Send one message and follow it to the reader. */
async function showMessage(stage: Stage, message: DemoMessage): Promise<void> {
  const deadline = deadlineAfter(MESSAGE_MS, stage.stop);
  const queueId = await sendMail(stage.postfix.smtpPort, message, deadline);
  await showArrival(stage, message, queueId, deadline);
  deadline.dispose();
}

async function showArrival(
  stage: Stage,
  message: DemoMessage,
  queueId: string,
  deadline: Deadline,
): Promise<void> {
  const { options, sidecar, dovecot, password } = stage;
  const timeline = await waitStored(sidecar, message, queueId, deadline);
  await checkFiled(sidecar, message);
  await checkRead(dovecot.imapPort, () => password, message, deadline);
  const copies = message.accounts.length === 1 ? "1 copy" : `${message.accounts.length} copies`;
  options.say(
    `✓ ${message.title}: ${copies} in ${message.mailbox}, tagged ${message.tags.join(", ")}, bytes equal`,
  );
  options.showTimeline(timeline);
  options.say("");
}

/**
 * Kill the sidecar, let mail come, start it again. Postfix has nobody to ask and takes nothing (451): the sender keeps the message and
 * tries again, and nothing that was stored is gone.
 */
async function showRestart(stage: Stage, message: DemoMessage): Promise<string> {
  const { options, sidecar, postfix } = stage;
  const deadline = deadlineAfter(START_MS, stage.stop);
  await sidecar.kill();
  options.say("the sidecar is killed (SIGKILL); mail goes on coming …");
  const answer = await tryToSend(postfix.smtpPort, message, deadline);
  if (answer.kind !== "refused" || answer.code !== 451) {
    const text = `The demonstration failed: Postfix answered "${answer.text}" while the sidecar is dead`;
    throw new MairustError("data_invalid", text);
  }
  options.say(`the sender is told to try again: ${answer.text}`);
  const startedAt = performance.now();
  await sidecar.start(deadline);
  options.say(
    `the sidecar is ready after ${Math.round(performance.now() - startedAt)} ms; the sender tries again`,
  );
  const queueId = await sendMail(postfix.smtpPort, message, deadline);
  await showArrival(stage, message, queueId, deadline);
  await postfix.waitQueueEmpty(deadline);
  deadline.dispose();
  return queueId;
}

/** After all of it, every message once more: there, once, unchanged. */
async function showNothingLost(stage: Stage, messages: readonly DemoMessage[]): Promise<void> {
  const deadline = deadlineAfter(MESSAGE_MS, stage.stop);
  for (const message of messages) {
    await checkFiled(stage.sidecar, message);
    await checkRead(stage.dovecot.imapPort, () => stage.password, message, deadline);
  }
  deadline.dispose();
}

function printGuide({ options, site, postfix, dovecot, password }: Stage, queueId: string): void {
  const mairust = `npx mairust --config ${site.configFile}`;
  const lines = [
    "",
    "It stays up. Send and read as you like:",
    `  SMTP   127.0.0.1 port ${postfix.smtpPort}, any address @${DOMAIN}`,
    `  IMAP   127.0.0.1 port ${dovecot.imapPort}, no TLS, user ${TARO}, password ${password}`,
    `         (also ${HANAKO}, and ${TEAM[0]} to ${TEAM.at(-1)})`,
    "",
    "Look at it, in another terminal:",
    `  ${mairust} msg search account:${TARO}`,
    `  ${mairust} explain ${queueId}`,
    `  curl 'imap://127.0.0.1:${dovecot.imapPort}/INBOX;MAILINDEX=1' -u '${TARO}:${password}'`,
    `  ${mairust} account show ${TARO}`,
    "",
    "Ctrl-C ends it and leaves nothing behind.",
  ];
  for (const line of lines) options.say(line);
}
