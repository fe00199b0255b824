/** Who is at the other end, and whether a password may travel there. */
import type { Socket } from "node:net";

export interface PeerFacts {
  /** Address, IPv4 in its own form; "unix" for a UNIX socket. */
  readonly peer: string;
  /** TLS, loopback, or a UNIX socket. */
  readonly secure: boolean;
}

export function peerOf(socket: Socket): PeerFacts {
  const encrypted = "encrypted" in socket && socket.encrypted === true;
  const address = socket.remoteAddress?.replace(/^::ffff:(?=\d+\.)/iu, "");
  // A TCP socket that was closed meanwhile has no remote address either, but it has no use for a password.
  if (address === undefined) return { peer: "unix", secure: true };
  return { peer: address, secure: encrypted || address === "::1" || address.startsWith("127.") };
}
