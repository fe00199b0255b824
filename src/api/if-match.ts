/** ETag and If-Match of config-like objects (RFC 9110 §13.1.1; 428: RFC 6585 §3): a change names the version that it was made from. */
import type { FastifyReply, FastifyRequest } from "fastify";

export function setVersion(reply: FastifyReply, version: number | undefined): void {
  if (version !== undefined) reply.header("etag", `"${version}"`);
}

/** @returns the version that the client saw. @throws 428 without one, 400 when it is none of ours */
export function versionOf(request: FastifyRequest): number {
  const field = request.headers["if-match"];
  if (field === undefined)
    throw refused(428, "If-Match is missing: read the object, and send the ETag that came with it");
  const version = /^"([1-9][0-9]{0,14})"$/u.exec(field)?.[1];
  if (version === undefined) throw refused(400, "If-Match takes one ETag as it was given");
  return Number(version);
}

function refused(statusCode: number, message: string): Error {
  return Object.assign(new Error(message), { statusCode });
}
