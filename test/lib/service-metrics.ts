/** What a running service says at /metrics. */
import { get } from "node:http";

export const metricsText = (apiSocket: string): Promise<string> => getText(apiSocket, "/metrics");

/** What its API answers, whatever the status is. */
export async function getJson<T>(apiSocket: string, path: string): Promise<Partial<T>> {
  return JSON.parse(await getText(apiSocket, path)) as Partial<T>;
}

export function getText(apiSocket: string, path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    get({ socketPath: apiSocket, path, agent: false }, answer => {
      const chunks: Buffer[] = [];
      answer.on("data", (chunk: Buffer) => chunks.push(chunk));
      answer.on("end", () => resolve(Buffer.concat(chunks).toString()));
    }).on("error", reject);
  });
}

/** Counters of calls: series (without the prefix `mairust_`) → value; those that are 0 are left out. */
export async function callCounters(apiSocket: string): Promise<Readonly<Record<string, number>>> {
  const counted =
    /^mairust_((?:hook_calls|plugin_calls|plugin_errors|plugin_denied_actions)_total\{.*\}) (\S+)$/gm;
  const found = Array.from(
    (await metricsText(apiSocket)).matchAll(counted),
    ([, name = "", value]) => [name, Number(value)] as const,
  );
  return Object.fromEntries(found.filter(([, value]) => value !== 0));
}
