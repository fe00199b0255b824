/** A whole service in this process, with an embedded database in a temporary folder, and a client for its API. */
import { request } from "node:http";
import { join } from "node:path";
import { compose, type Service } from "../../../src/compose.ts";
import { makeSite, type Site } from "../../../src/demo/site.ts";
import { loadConfig } from "../../../src/platform/config/load.ts";
import { deadlineAfter } from "../../../src/platform/deadline.ts";
import type { Db } from "../../../src/store/db.ts";
import { openEmbedded } from "../../lib/promises-store.ts";
import { copyReadyCluster } from "../../lib/ready-cluster.ts";

export interface Answer<B = Readonly<Record<string, unknown>>> {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly bytes: Buffer;
  /** The body as JSON. */
  readonly body: B;
}

export interface AskOptions {
  readonly body?: unknown;
  readonly message?: Buffer;
  readonly headers?: Readonly<Record<string, string>>;
  /** `host:port` in place of the UNIX socket. */
  readonly tcp?: string;
}

export interface RunningService {
  readonly service: Service;
  readonly site: Site;
  /** `B`: what the body is taken for; the API checks its own answers. */
  ask<B = Answer["body"]>(method: string, path: string, options?: AskOptions): Promise<Answer<B>>;
  /** Connections of the test's own to its database. */
  database(): Promise<Db>;
  stop(): Promise<void>;
}

const STOP_MS = 30_000;

export async function startService(overrides: readonly string[] = []): Promise<RunningService> {
  const site = await makeSite({ dir: undefined, domain: "example.test", unsandboxed: true });
  const reread = () =>
    loadConfig({
      configFile: site.configFile,
      overrides: ["log.level=error", "plugins.enabled=false", ...overrides],
      env: {},
    });
  copyReadyCluster(join(site.dir, "data"));
  const service = await compose(await reread(), { reread });
  await service.start();
  const opened: Db[] = [];
  return {
    service,
    site,
    ask: (method, path, options = {}) => ask(site.apiSocket, method, path, options),
    async database() {
      const db = await openEmbedded(join(site.dir, "data"));
      opened.push(db);
      return db;
    },
    async stop() {
      const deadline = deadlineAfter(STOP_MS);
      for (const db of opened) await db.close(deadline);
      await service.stop(deadline);
      deadline.dispose();
      await site.remove();
    },
  };
}

function ask<B>(socketPath: string, method: string, path: string, options: AskOptions): Promise<Answer<B>> {
  const payload = options.message ?? (options.body === undefined ? undefined : JSON.stringify(options.body));
  const type = options.message === undefined ? "application/json" : "message/rfc822";
  const [host, port] = options.tcp?.split(":") ?? [];
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        ...(host === undefined ? { socketPath } : { host, port }),
        method,
        path,
        agent: false,
        headers: { ...(payload === undefined ? {} : { "content-type": type }), ...options.headers },
      },
      response => {
        const chunks: Buffer[] = [];
        response.on("data", chunk => chunks.push(chunk));
        response.on("error", reject);
        response.on("end", () => {
          const bytes = Buffer.concat(chunks);
          const isJson = /json/u.test(response.headers["content-type"] ?? "");
          const body = isJson ? JSON.parse(bytes.toString()) : {};
          resolve({ status: response.statusCode ?? 0, headers: response.headers, bytes, body });
        });
      },
    );
    sent.on("error", reject);
    sent.end(payload);
  });
}
