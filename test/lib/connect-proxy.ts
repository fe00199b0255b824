/**
 * A proxy that knows CONNECT and nothing else, as a sandbox has it: it writes down where it was asked to go, and every name leads to
 * this host.
 */
import { createServer, type Server } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";

export interface ConnectProxy {
  readonly url: string;
  /** `host:port` of each CONNECT; of other requests method and URL. */
  readonly asked: string[];
  stop(): Promise<void>;
}

/** @param allow  `host:port` that may be reached; absent: all */
export async function startConnectProxy(allow?: readonly string[]): Promise<ConnectProxy> {
  const asked: string[] = [];
  const sockets = new Set<Socket>();
  const server: Server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    response.writeHead(405).end();
  });
  server.on("connection", socket => sockets.add(socket.on("error", () => {})));
  server.on("connect", (request, client: Socket) => {
    const target = request.url ?? "";
    asked.push(target);
    if (allow?.includes(target) === false) return client.end("HTTP/1.1 403 Forbidden\r\n\r\n");
    const upstream = connect(Number(target.slice(target.lastIndexOf(":") + 1)), "127.0.0.1");
    sockets.add(upstream.on("error", () => client.destroy()));
    upstream.once("connect", () => {
      client.write("HTTP/1.1 200 Connection established\r\n\r\n");
      upstream.pipe(client).pipe(upstream);
    });
    return undefined;
  });
  await new Promise<void>(resolve => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    stop: () =>
      new Promise(resolve => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
}
