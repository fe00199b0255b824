/** REST: hold what goes to next hops for a moment, and let it go on (`/routing/relays/pause`, `/resume`). */
import { type Static, Type } from "typebox";
import { closed } from "./common.ts";

/** Longest pause: below what mail may take (`lmtp.chain_timeout_ms`, 30 s as it comes). */
export const MAX_PAUSE_MS = 20_000;

export const pauseBody = Type.Object(
  {
    for_ms: Type.Integer({
      minimum: 1,
      maximum: MAX_PAUSE_MS,
      description: "it ends by itself then; half of it may go by until it is quiet",
    }),
  },
  closed,
);
export type PauseBody = Static<typeof pauseBody>;

export const pausedBody = Type.Object(
  { quiet: Type.Boolean({ description: "false: a transaction with a next hop is under way still" }) },
  closed,
);
export type PausedBody = Static<typeof pausedBody>;

export const relayRoutes = {
  pause: { body: pauseBody, response: { 200: pausedBody } },
  resume: { response: { 200: Type.Object({}, closed) } },
} as const;
