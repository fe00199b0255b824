/** Readiness: asks everything that the service needs how it is, and says what is wrong by name. A check that hangs is an error. */
import type { Deadline } from "../core/deadline.ts";
import { messageOf } from "../core/errors.ts";
import { within } from "./deadline.ts";

export type HealthStatus = "ok" | "degraded" | "error";

export interface Health {
  readonly status: HealthStatus;
  /** Why it is not `ok`. */
  readonly detail?: string;
}

export type HealthCheck = (deadline: Deadline) => Promise<Health> | Health;

export interface NamedHealth extends Health {
  readonly name: string;
}

export interface Readiness {
  /** The worst of all checks; `ok` when there are none. */
  readonly status: HealthStatus;
  readonly checks: readonly NamedHealth[];
}

/**
 * Run all checks at the same time.
 * @param deadline  a check that is not done by then is an `error`
 * @returns every check, in the given order; never rejects
 */
export async function collectReadiness(
  checks: ReadonlyMap<string, HealthCheck>,
  deadline: Deadline,
): Promise<Readiness> {
  const results = await Promise.all([...checks].map(([name, check]) => runCheck(name, check, deadline)));
  return { status: worstOf(results), checks: results };
}

async function runCheck(name: string, check: HealthCheck, deadline: Deadline): Promise<NamedHealth> {
  try {
    return { name, ...(await within(Promise.resolve(check(deadline)), deadline)) };
  } catch (error) {
    return { name, status: "error", detail: messageOf(error) };
  }
}

export function worstOf(results: readonly Health[]): HealthStatus {
  if (results.some(({ status }) => status === "error")) return "error";
  return results.some(({ status }) => status === "degraded") ? "degraded" : "ok";
}
