/** Who asks, for the audit log: on a UNIX socket the name that the command line sends, which its file mode vouches for. */
import type { FastifyRequest } from "fastify";

export const ACTOR_HEADER = "x-mairust-actor";
/** Names of the system's users, and nothing that could be read as something else. */
const NAME = /^[A-Za-z0-9._@-]{1,64}$/u;

export function actorOf(request: FastifyRequest): string {
  const name = request.headers[ACTOR_HEADER];
  return typeof name === "string" && NAME.test(name) ? `local:${name}` : "local";
}

/** Who asks for a change, and whether it is only tried. */
export function changeBy(request: FastifyRequest & { readonly query: { readonly dry_run?: boolean } }): {
  readonly who: string;
  readonly dryRun: boolean;
} {
  return { who: actorOf(request), dryRun: request.query.dry_run === true };
}
