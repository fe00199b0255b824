/** The component "imap": one server behind all IMAP listeners. It starts last and drains first. */
import { createServer } from "node:net";
import { component } from "../platform/component.ts";
import type { ListenAddress } from "../platform/listen-spec.ts";
import { type ListenerSet, openListeners } from "../platform/listeners.ts";
import type { ServerTls } from "../platform/tls-server.ts";
import { DOVECOT, type ListenerProfile } from "../protocols/imap/profile.ts";
import { createImapServer, type ImapServer, type ImapServerOptions } from "../protocols/imap/server.ts";
import { cell } from "./cell.ts";
import type { ListenerComponent, ListenerParts } from "./listeners.ts";

/** What stands behind the protocol. */
export type ImapDependencies = Omit<ImapServerOptions, "config" | "limits" | "log" | "metrics" | "tls"> & {
  readonly tls: ServerTls;
};

/** Node's own limit is only for answers to who comes beyond ours. */
const ROOM_FOR_REFUSALS = 2;

/** A UNIX socket is as private as its file mode: TLS adds nothing. */
function clientProfile({ kind }: ListenAddress): ListenerProfile {
  if (kind === "unix") return { kind: "client" };
  return { kind: "client", tls: kind === "tls" ? "implicit" : "starttls" };
}

export function imapComponent(parts: ListenerParts, needs: ImapDependencies): ListenerComponent {
  const { settings, log, metrics, version } = parts;
  const server = cell<ImapServer>("imap");
  const listeners = cell<ListenerSet>("imap.listen");
  const clientListeners = cell<ListenerSet>("imap.client_listen");
  const sets = () => [listeners.peek(), clientListeners.peek()];
  return {
    addresses: () => sets().flatMap(set => set?.addresses ?? []),
    component: component({
      info: {
        name: "imap",
        version,
        description: "serves mailboxes to Dovecot and to clients",
        type: "listener",
      },
      async start() {
        const { imap, hostname, tls } = settings.config;
        (await needs.tls.prepare(tls))();
        const imapServer = createImapServer({
          ...needs,
          log,
          config: { hostname, connections: imap.connections, connectionsPerUser: imap.connections_per_user },
          metrics: {
            command(command, result, seconds) {
              metrics.imapCommands.inc({ command, result });
              metrics.imapDuration.observe({ command }, seconds);
            },
            connection: (change, listener) => metrics.imapConnections.inc({ listener }, change),
            refused: (listener, reason) => metrics.imapRefused.inc({ listener, reason }),
            handshake: result => metrics.imapHandshakes.inc({ result }),
            unreadable: outcome => metrics.imapUnreadable.inc({ outcome }),
            loginFailed: () => metrics.imapLoginFailures.inc(),
          },
        });
        server.set(imapServer);
        const open = (
          name: string,
          specs: readonly string[],
          profileOf: (address: ListenAddress) => ListenerProfile,
        ) =>
          openListeners({
            ...{ name, specs, tls: true },
            createServer: address => {
              const profile = profileOf(address);
              return createServer({ noDelay: true }, socket => imapServer.handleConnection(socket, profile));
            },
            access: { mode: "0600", group: "" },
            maxConnections: imap.connections * ROOM_FOR_REFUSALS,
            onError: error => log.error("listener failed", { listener: "imap", error }),
          });
        listeners.set(await open("imap.listen", imap.listen, () => DOVECOT));
        clientListeners.set(await open("imap.client_listen", imap.client_listen, clientProfile));
      },
      async drain(deadline) {
        for (const set of sets()) set?.stopAccepting();
        const cut = await server.get().drain(deadline);
        if (cut > 0) log.warn("sessions cut", { service: "imap", count: cut });
      },
      async stop() {
        await server.peek()?.close();
        for (const set of sets()) await set?.close();
        needs.tls.stop();
      },
    }),
  };
}
