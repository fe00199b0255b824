/** The service with a listener for ordinary clients besides the one for Dovecot. */
import { freePort } from "../../src/mailhost/scratch.ts";
import { NOT_BUILT } from "../../src/wire/config/not-built.ts";
import { type Sidecar, type SidecarOptions, startSidecar } from "./sidecar.ts";

/** False: all clients come to the one listener that there is. */
export const HAS_CLIENT_LISTEN = !NOT_BUILT.some(({ key }) => key.join(".") === "imap.client_listen");

export interface ClientSidecar {
  readonly sidecar: Sidecar;
  /** Where clients are told of everything that works. */
  readonly clientPort: number;
}

export async function startClientSidecar(options: SidecarOptions): Promise<ClientSidecar> {
  if (!HAS_CLIENT_LISTEN) {
    const sidecar = await startSidecar(options);
    return { sidecar, clientPort: sidecar.imapPort };
  }
  const clientPort = await freePort();
  const imap = `${options.imap ?? ""}\nclient_listen = ["inet:127.0.0.1:${clientPort}"]`;
  return { sidecar: await startSidecar({ ...options, imap }), clientPort };
}
