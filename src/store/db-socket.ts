/**
 * The socket of one database connection (step 7, below `db.ts`).
 *
 * Made here and not by the driver: a connection that closes before the server has answered makes the driver connect again at once,
 * for ever and without a pause. A maker gives one socket and then only errors, so a lost connection stays lost.
 */
import net from "node:net";
import type { Deadline } from "../core/deadline.ts";
import { MairustError } from "../core/errors.ts";

/** One address of a server. A host that starts with `/` is the directory of a UNIX socket. */
export interface ServerAddress {
  readonly host: string;
  readonly port: number;
}

/** @returns a function that connects once; its second call fails with `store_unavailable` */
export function socketMaker(address: ServerAddress, deadline: Deadline): () => Promise<net.Socket> {
  let used = false;
  return () => {
    if (used) {
      return Promise.reject(
        new MairustError("store_unavailable", "Cannot use the database connection: the server closed it", {
          context: { dropConnection: true },
          publicText: "mail storage is not available",
        }),
      );
    }
    used = true;
    return connectSocket(address, deadline);
  };
}

function connectSocket({ host, port }: ServerAddress, deadline: Deadline): Promise<net.Socket> {
  const path = `${host}/.s.PGSQL.${port}`;
  const socket = host.startsWith("/") ? net.connect({ path }) : net.connect({ host, port, noDelay: true });
  return new Promise((resolve, reject) => {
    const late = () => socket.destroy(deadline.signal.reason);
    const settle = (outcome: () => void) => {
      deadline.signal.removeEventListener("abort", late);
      socket.removeAllListeners("error");
      outcome();
    };
    if (deadline.signal.aborted) late();
    else deadline.signal.addEventListener("abort", late, { once: true });
    socket.once("error", error => settle(() => reject(error)));
    // The driver asks the socket for the name that TLS is to check.
    socket.once("connect", () => settle(() => resolve(Object.assign(socket, { host, port }))));
  });
}
