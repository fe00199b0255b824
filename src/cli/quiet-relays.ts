/**
 * The running service hands nothing to Dovecot while it reloads (`site/dovecot-reload.ts`). It keeps nobody from the change: without a
 * service nothing is relayed, and what cannot be paused is told.
 */
import type { PauseBody, PausedBody } from "../wire/api/relays.ts";
import type { Quietly } from "../wire/site-calls.ts";
import type { Client } from "./client.ts";
import { CommandError, EXIT } from "./exit-codes.ts";
import { printable } from "./text.ts";

/** Until it is quiet, and for the reload itself; the pause ends by itself when this command is killed. */
const PAUSE_MS = 15_000;
const TWICE = "what it took meanwhile may be in its mailboxes twice";

/** @param say  takes lines for people. @param now  milliseconds of a clock that is never set */
export function quietRelays(
  client: Client,
  say: (text: string) => void,
  now: () => number = () => performance.now(),
): Quietly {
  return async work => {
    const began = now();
    const isPaused = await pause(client, say);
    try {
      return await work();
    } finally {
      if (isPaused) {
        if (now() - began > PAUSE_MS) say(`Dovecot's reload took longer than relays are held: ${TWICE}\n`);
        await resume(client, say);
      }
    }
  };
}

async function pause(client: Client, say: (text: string) => void): Promise<boolean> {
  const body: PauseBody = { for_ms: PAUSE_MS };
  try {
    const { quiet } = (await client.post<PausedBody>("/api/v1/routing/relays/pause", { body })).body;
    if (!quiet)
      say("Dovecot is slow to take mail: what it takes while it reloads may be in its mailboxes twice\n");
    return true;
  } catch (error) {
    if (error instanceof CommandError && error.exitCode === EXIT.serviceAway) return false;
    say(
      `mail that Dovecot takes while it reloads may be in its mailboxes twice: ${printable(reasonOf(error))}\n`,
    );
    return false;
  }
}

async function resume(client: Client, say: (text: string) => void): Promise<void> {
  try {
    await client.post("/api/v1/routing/relays/resume");
  } catch (error) {
    say(`relays go on in ${PAUSE_MS / 1000} s at the latest: ${printable(reasonOf(error))}\n`);
  }
}

const reasonOf = (error: unknown) => (error instanceof Error ? error.message : String(error));
