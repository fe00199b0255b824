/** The listener components: LMTP, milter and the HTTP API; IMAP in `imap-listener.ts`. They start last and drain first. */
import { type ApiServer, startApi } from "../api/server.ts";
import type { Deadline } from "../core/deadline.ts";
import type { MessageIntake } from "../core/ports/intake.ts";
import type { MilterDecider } from "../core/ports/milter.ts";
import { type Component, component } from "../platform/component.ts";
import { type ListenerSet, openListeners } from "../platform/listeners.ts";
import type { RootLog } from "../platform/log.ts";
import type { Metrics } from "../platform/metrics.ts";
import { createLmtpServer, type LmtpServer } from "../protocols/lmtp/server.ts";
import { createMilterServer, type MilterServer } from "../protocols/milter/server.ts";
import type { ServicePorts } from "../services/ports.ts";
import { cell } from "./cell.ts";
import type { Settings } from "./settings.ts";

export interface ListenerParts {
  readonly settings: Settings;
  readonly log: RootLog;
  readonly metrics: Metrics;
  readonly version: string;
}

/** A component that also knows where it listens. */
export interface ListenerComponent {
  readonly component: Component;
  addresses(): readonly string[];
}

/** `drain`: what goes on after the answers. */
type DrainableIntake = MessageIntake & { drain(deadline: Deadline): Promise<void> };

export function lmtpComponent(parts: ListenerParts, intake: DrainableIntake): ListenerComponent {
  const { settings, log, metrics, version } = parts;
  const server = cell<LmtpServer>("lmtp");
  const listeners = cell<ListenerSet>("lmtp.listen");
  return {
    addresses: () => listeners.peek()?.addresses ?? [],
    component: component({
      info: { name: "lmtp", version, description: "takes mail from Postfix", type: "listener" },
      async start() {
        const { lmtp, hostname } = settings.config;
        const lmtpServer = createLmtpServer({
          intake,
          log,
          config: {
            hostname,
            connections: lmtp.connections,
            xforwardFrom: lmtp.xforward_from,
            // Notices of success are ours from here on: `delivery/success-notices.ts`.
            dsn: true,
            // Read at each transaction, so that a reload counts from the next one on.
            get chainTimeoutMs() {
              return settings.config.lmtp.chain_timeout_ms;
            },
            get messageBytes() {
              return settings.config.limits.message_bytes;
            },
          },
          metrics: {
            recipient: result => metrics.lmtpMessages.inc({ result }),
            duration: seconds => metrics.lmtpDuration.observe(seconds),
            connections: open => metrics.lmtpConnections.set(open),
          },
        });
        server.set(lmtpServer);
        listeners.set(
          await openListeners({
            name: "lmtp.listen",
            specs: lmtp.listen,
            createServer: () => lmtpServer.createListener(),
            access: { mode: lmtp.socket_mode, group: lmtp.socket_group },
            // The server itself answers who comes beyond the limit with 421; this one only bounds those answers.
            maxConnections: lmtp.connections * 2,
            onError: error => log.error("listener failed", { listener: "lmtp", error }),
          }),
        );
      },
      async drain(deadline) {
        listeners.peek()?.stopAccepting();
        await server.get().drain(deadline);
        await intake.drain(deadline);
      },
      async stop() {
        await server.peek()?.close();
        await listeners.peek()?.close();
      },
    }),
  };
}

/** `drain`: what goes on after the answers. */
type DrainableDecider = MilterDecider & { drain(deadline: Deadline): Promise<void> };

/** @param senderAuth  ends with it */
export function milterComponent(
  parts: ListenerParts,
  decider: DrainableDecider,
  senderAuth: { stop(): Promise<void> },
): ListenerComponent {
  const { settings, log, metrics, version } = parts;
  const server = cell<MilterServer>("milter");
  const listeners = cell<ListenerSet>("milter.listen");
  return {
    addresses: () => listeners.peek()?.addresses ?? [],
    component: component({
      info: {
        name: "milter",
        version,
        description: "decides about mail before Postfix accepts it",
        type: "listener",
      },
      async start() {
        const { milter, limits } = settings.config;
        const milterServer = createMilterServer({
          decider,
          log,
          config: {
            connections: milter.connections,
            packetBytes: limits.milter_packet_bytes,
            // Read for each message, so that a reload counts from the next one on.
            get chainTimeoutMs() {
              return settings.config.milter.chain_timeout_ms;
            },
            outboundDaemons: milter.outbound_daemons,
            outboundNetworks: milter.outbound_networks,
          },
          metrics: {
            message: (decision, direction) => metrics.milterMessages.inc({ direction, decision }),
            duration: seconds => metrics.milterDelay.observe(seconds),
            protocolError: fault => metrics.milterProtocolErrors.inc({ fault }),
            connections: open => metrics.milterConnections.set(open),
          },
        });
        server.set(milterServer);
        listeners.set(
          await openListeners({
            name: "milter.listen",
            specs: milter.listen,
            createServer: () => milterServer.createListener(),
            access: { mode: milter.socket_mode, group: milter.socket_group },
            // The server itself closes who comes beyond the limit.
            maxConnections: milter.connections * 2,
            onError: error => log.error("listener failed", { listener: "milter", error }),
          }),
        );
      },
      async drain(deadline) {
        listeners.peek()?.stopAccepting();
        await server.get().drain(deadline);
        await decider.drain(deadline);
      },
      async stop() {
        await server.peek()?.close();
        await listeners.peek()?.close();
        await senderAuth.stop();
      },
    }),
  };
}

export function apiComponent(parts: ListenerParts, ports: ServicePorts): ListenerComponent {
  const { settings, log, metrics, version } = parts;
  const server = cell<ApiServer>("api");
  return {
    addresses: () => server.peek()?.addresses ?? [],
    component: component({
      info: { name: "api", version, description: "HTTP API, health and metrics", type: "listener" },
      async start() {
        const { api, metrics: metricsSection } = settings.config;
        server.set(
          await startApi({
            ports,
            log,
            listen: api.listen,
            metricsListen: metricsSection.listen,
            observeRequest: (route, seconds) => metrics.httpRequestDuration.observe({ route }, seconds),
          }),
        );
      },
      async drain(deadline) {
        await server.get().drain(deadline);
      },
      async stop() {
        await server.peek()?.close();
      },
    }),
  };
}
