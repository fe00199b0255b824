/** The component "imap": one server behind all IMAP listeners. It starts last and drains first. */
import { createServer } from "node:net";
import { component } from "../platform/component.ts";
import { type ListenerSet, openListeners } from "../platform/listeners.ts";
import { DOVECOT } from "../protocols/imap/profile.ts";
import { createImapServer, type ImapServer, type ImapServerOptions } from "../protocols/imap/server.ts";
import { cell } from "./cell.ts";
import type { ListenerComponent, ListenerParts } from "./listeners.ts";

/** What stands behind the protocol. */
export type ImapDependencies = Omit<ImapServerOptions, "config" | "limits" | "log" | "metrics">;

export function imapComponent(parts: ListenerParts, needs: ImapDependencies): ListenerComponent {
  const { settings, log, metrics, version } = parts;
  const server = cell<ImapServer>("imap");
  const listeners = cell<ListenerSet>("imap.listen");
  return {
    addresses: () => listeners.peek()?.addresses ?? [],
    component: component({
      info: {
        name: "imap",
        version,
        description: "serves mailboxes read-only, for Dovecot",
        type: "listener",
      },
      async start() {
        const { imap, hostname } = settings.config;
        const imapServer = createImapServer({
          ...needs,
          log,
          config: { hostname, connections: imap.connections, connectionsPerUser: imap.connections_per_user },
          metrics: {
            command(command, result, seconds) {
              metrics.imapCommands.inc({ command, result });
              metrics.imapDuration.observe({ command }, seconds);
            },
            connection: change => metrics.imapConnections.inc(change),
            unreadable: outcome => metrics.imapUnreadable.inc({ outcome }),
            loginFailed: () => metrics.imapLoginFailures.inc(),
          },
        });
        server.set(imapServer);
        listeners.set(
          await openListeners({
            name: "imap.listen",
            specs: imap.listen,
            createServer: () =>
              createServer({ noDelay: true }, socket => imapServer.handleConnection(socket, DOVECOT)),
            access: { mode: "0600", group: "" },
            maxConnections: imap.connections * 2,
            onError: error => log.error("listener failed", { listener: "imap", error }),
          }),
        );
      },
      async drain(deadline) {
        listeners.peek()?.stopAccepting();
        const cut = await server.get().drain(deadline);
        if (cut > 0) log.warn("sessions cut", { service: "imap", count: cut });
      },
      async stop() {
        await server.peek()?.close();
        await listeners.peek()?.close();
      },
    }),
  };
}
