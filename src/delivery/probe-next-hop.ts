/** Whether a next hop greets: connect, read the greeting, leave. Nothing is sent but `QUIT`. Source: RFC 5321 §4.2 (greeting). */
import { connect } from "node:net";
import type { Deadline } from "../core/deadline.ts";
import { MairustError, messageOf } from "../core/errors.ts";
import { within } from "../platform/deadline.ts";
import { parseListenSpec } from "../platform/listen-spec.ts";

/** Longest greeting. */
const MAX_GREETING_BYTES = 4_096;

/** @returns the greeting, one line. @throws {MairustError} `store_unavailable`, `deadline` */
export async function probeNextHop(server: string, deadline: Deadline): Promise<string> {
  const address = parseListenSpec(server);
  const socket =
    address.kind === "unix"
      ? connect({ path: address.path })
      : connect({ host: address.host, port: address.port });
  const greeting = new Promise<string>((resolve, reject) => {
    let text = "";
    socket.on("error", reject);
    socket.on("close", () => reject(new Error("it closed the connection")));
    socket.on("data", chunk => {
      text += chunk.toString("latin1");
      const end = text.search(/\r?\n/u);
      if (end >= 0) resolve(text.slice(0, end));
      else if (text.length > MAX_GREETING_BYTES) reject(new Error("its greeting has no end"));
    });
  });
  greeting.catch(() => undefined);
  try {
    const line = await within(greeting, deadline);
    if (/^220[ -]/u.test(line)) return line;
    throw new Error(`it says "${line.slice(0, 100)}"`);
  } catch (error) {
    if (deadline.signal.aborted) throw error;
    const publicText = messageOf(error);
    throw new MairustError("store_unavailable", `Cannot reach next hop "${server}": ${publicText}`, {
      cause: error,
      publicText,
    });
  } finally {
    socket.on("error", () => undefined);
    socket.end("QUIT\r\n");
    socket.destroySoon();
  }
}
