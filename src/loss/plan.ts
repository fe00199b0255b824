/** Which canaries are sent with which kill. Pure. */
import { MairustError } from "../core/errors.ts";
import type { KillPoint, LossRound } from "../wire/loss-calls.ts";

/**
 * @param points     where the service is ended; none: one round without a kill
 * @param killsEach  at each of them
 * @returns          one round for each kill, the messages spread evenly, each with one at least: a step is reached by a delivery
 * @throws {MairustError} `invalid_argument`: fewer messages than kills
 */
export function planRounds(
  points: readonly KillPoint[],
  killsEach: number,
  messages: number,
): readonly LossRound[] {
  if (points.length === 0) return [{ kill: undefined, messages }];
  const kills = points.flatMap(kill => Array.from({ length: killsEach }, () => kill));
  if (messages < kills.length) {
    const publicText = `${kills.length} kills need at least as many messages, not ${messages}`;
    throw new MairustError("invalid_argument", `Cannot plan the proof: ${publicText}`, { publicText });
  }
  const each = Math.floor(messages / kills.length);
  const rest = messages - each * kills.length;
  return kills.map((kill, i) => ({ kill, messages: each + (i < rest ? 1 : 0) }));
}
