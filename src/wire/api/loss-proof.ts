/** REST resource `/api/v1/admin/loss-proof`: end the service in the middle of a delivery, for `mairust verify-no-loss`. */
import { type Static, Type } from "typebox";
import { KILL_STEPS } from "../kill-steps.ts";
import { closed, nullable, timestamp } from "./common.ts";

/** Longest time for which a kill stays armed: a command that was broken off leaves none behind. */
export const MAX_ARMED_S = 300;

const step = Type.Enum([...KILL_STEPS]);

export const armRequest = Type.Object(
  { step, within_s: Type.Integer({ minimum: 1, maximum: MAX_ARMED_S }) },
  closed,
);
export type ArmRequest = Static<typeof armRequest>;

export const killSwitchBody = Type.Object(
  {
    allowed: Type.Boolean({ description: "loss_proof.allow_kill" }),
    steps: Type.Array(step, { description: "where it can be ended, in the order of a delivery" }),
    armed: nullable(Type.Object({ step, until: timestamp }, closed)),
    pid: Type.Integer({ description: "of the service's process" }),
    started_at: timestamp,
  },
  closed,
);
export type KillSwitchBody = Static<typeof killSwitchBody>;

export const lossProofRoutes = {
  state: { response: { 200: killSwitchBody } },
  arm: { body: armRequest, response: { 200: killSwitchBody } },
  disarm: { response: { 200: killSwitchBody } },
} as const;
