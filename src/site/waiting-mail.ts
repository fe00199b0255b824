/**
 * Mail that waits in Postfix's queue is brought to the sidecar once more before its way there is taken away: the sidecar may have it
 * already. It answers 451 when its time is over (`lmtp.chain_timeout_ms`) and may store or relay the message all the same; when that
 * comes again it is known. By another way it would be there twice.
 *
 * What is deferred again then is nobody's, and goes the new way. Source: postqueue(1) (-i, -j).
 */
import { messageOf } from "../core/errors.ts";
import { deadlineAfter, sleep } from "../platform/deadline.ts";
import type { SiteFile } from "../wire/site-calls.ts";
import { postfixEnv, TABLE } from "./postfix-read.ts";
import { runCommand, tryCommand } from "./run-command.ts";
import { routesOf } from "./transport-table.ts";

/** Messages that are brought again; of a queue with more the rest waits for its own time. */
const MAX_MESSAGES = 500;
/** For all of them to be answered. */
const ANSWERS_MS = 40_000;
const LOOK_MS = 200;

interface Waiting {
  readonly id: string;
  readonly isDeferred: boolean;
}

/** Addresses and domains whose mail goes to the sidecar before these changes, and not after them. */
export function scopesThatLeave(files: readonly SiteFile[]): readonly string[] {
  const table = files.find(({ server, path }) => server === "postfix" && path.endsWith(`/${TABLE}`));
  const after = new Set(routesOf(table?.text ?? "").map(({ key }) => key));
  return routesOf(table?.was ?? "").flatMap(({ key }) => (after.has(key) ? [] : [key]));
}

/**
 * Postfix runs. Never rejects: a queue that cannot be read, or is too long, keeps nobody from a step back.
 * @returns what was not done, for people
 */
export async function bringWaitingMail(
  postfixDir: string | undefined,
  scopes: readonly string[],
): Promise<readonly string[]> {
  if (scopes.length === 0) return [];
  const env = postfixEnv(postfixDir);
  const waiting = async () => waitingIn(await runCommand("postqueue", ["-j"], env), new Set(scopes));
  try {
    const all = await waiting();
    const asked = all.slice(0, MAX_MESSAGES);
    // One that has gone meanwhile is no fault.
    for (const { id, isDeferred } of asked) if (isDeferred) await tryCommand("postqueue", ["-i", id], env);
    const unanswered = await answered(asked, waiting);
    return [
      ...(all.length > asked.length
        ? [
            notBrought(
              `${all.length - asked.length} messages more than ${MAX_MESSAGES} wait in Postfix's queue`,
            ),
          ]
        : []),
      ...(unanswered > 0
        ? [notBrought(`${unanswered} messages got no answer from the sidecar in ${ANSWERS_MS / 1000} s`)]
        : []),
    ];
  } catch (error) {
    return [notBrought(`Postfix's queue cannot be read: ${messageOf(error)}`)];
  }
}

const notBrought = (what: string) => `${what}: what the sidecar has of them may be there twice`;

/** @returns how many are on their way still when the time is over */
async function answered(
  asked: readonly Waiting[],
  waiting: () => Promise<readonly Waiting[]>,
): Promise<number> {
  const ids = new Set(asked.map(({ id }) => id));
  const end = deadlineAfter(ANSWERS_MS);
  try {
    while (ids.size > 0) {
      const underWay = (await waiting()).filter(({ id, isDeferred }) => ids.has(id) && !isDeferred);
      if (underWay.length === 0 || end.remainingMs() === 0) return underWay.length;
      await sleep(LOOK_MS);
    }
    return 0;
  } finally {
    end.dispose();
  }
}

/** @param output  of `postqueue -j`: an object on each line */
export function waitingIn(output: string, scopes: ReadonlySet<string>): readonly Waiting[] {
  return output.split("\n").flatMap(line => {
    const message = line === "" ? undefined : asMessage(JSON.parse(line));
    if (message === undefined) return [];
    const isTheirs = message.recipients.some(address => {
      const lower = address.toLowerCase();
      return scopes.has(lower) || scopes.has(lower.slice(lower.lastIndexOf("@") + 1));
    });
    const isHeld = message.queue === "hold";
    return isTheirs && !isHeld ? [{ id: message.id, isDeferred: message.queue === "deferred" }] : [];
  });
}

function asMessage(value: unknown) {
  const { queue_name: queue, queue_id: id, recipients } = (value ?? {}) as Readonly<Record<string, unknown>>;
  if (typeof queue !== "string" || typeof id !== "string" || !Array.isArray(recipients)) return undefined;
  const addresses = recipients.flatMap((one: unknown) => {
    const { address } = (one ?? {}) as { readonly address?: unknown };
    return typeof address === "string" ? [address] : [];
  });
  return { queue, id, recipients: addresses };
}
