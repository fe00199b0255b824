/** REST resource `/api/v1/jobs`: the durable queue. */
import { type Static, Type } from "typebox";
import { closed, nullable, pageOf, pageQuery, timestamp } from "./common.ts";

export const JOB_STATES = ["queued", "running", "done", "failed", "canceled"] as const;

export const jobBody = Type.Object(
  {
    id: Type.Integer(),
    kind: Type.String(),
    state: Type.Enum([...JOB_STATES], { description: "failed: its attempts are used up" }),
    payload: Type.Record(Type.String(), Type.Unknown()),
    progress: Type.Integer({ minimum: 0, maximum: 100 }),
    attempts: Type.Integer(),
    max_attempts: Type.Integer(),
    error: nullable(Type.String({ description: "of the last failure" })),
    standing: Type.Boolean({ description: "part of the service: runs again and again" }),
    cancel_requested: Type.Boolean(),
    canceled_by: nullable(Type.String({ description: "who asked for its end" })),
    message_id: nullable(Type.String()),
    created_at: timestamp,
    run_at: timestamp,
    finished_at: nullable(timestamp),
  },
  closed,
);
export type JobBody = Static<typeof jobBody>;

export const jobPath = Type.Object({ id: Type.String({ pattern: "^[1-9][0-9]{0,14}$" }) });

export const jobRoutes = {
  list: {
    querystring: Type.Object(
      {
        ...pageQuery,
        kind: Type.Optional(Type.String({ minLength: 1, maxLength: 100 })),
        state: Type.Optional(Type.Enum([...JOB_STATES])),
      },
      closed,
    ),
    response: { 200: pageOf(jobBody) },
  },
  get: { params: jobPath, response: { 200: jobBody } },
  cancel: { params: jobPath, response: { 200: jobBody } },
  retry: { params: jobPath, response: { 200: jobBody } },
} as const;
