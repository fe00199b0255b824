/**
 * The texts for search and the index for IMAP are made after the delivery, when it is quiet: what is left of that work must not fall into the round of the
 * next subject.
 */
import { get } from "node:http";
import { text } from "node:stream/consumers";
import { sleep } from "../../../src/platform/deadline.ts";
import type { Sidecar } from "../../lib/sidecar.ts";

const LOOK_MS = 200;
const LIMIT_MS = 120_000;

/** @returns waits until the texts of `messages` more are made; for a service that nothing else was stored in */
export function indexing(sidecar: Sidecar): (messages: number) => Promise<void> {
  let expected = 0;
  return async messages => {
    expected += messages;
    const end = performance.now() + LIMIT_MS;
    while ((await made(sidecar)) < expected) {
      if (performance.now() > end) throw new Error(`${expected} texts for search were not made in time`);
      await sleep(LOOK_MS);
    }
  };
}

async function made({ apiSocket }: Sidecar): Promise<number> {
  const metrics = await new Promise<string>((resolve, reject) => {
    get({ socketPath: apiSocket, path: "/metrics", agent: false }, answer => {
      text(answer).then(resolve, reject);
    }).on("error", reject);
  });
  const sum = (name: string) =>
    [...metrics.matchAll(new RegExp(`^${name}\\{[^}]*\\} (\\d+)$`, "gmu"))].reduce(
      (total, [, count]) => total + Number(count),
      0,
    );
  return Math.min(sum("mairust_search_texts_total"), sum("mairust_imap_texts_total"));
}
