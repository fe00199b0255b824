/** Talks to an egress gate as a plugin would, byte by byte. */
import { connect, type Socket } from "node:net";

export interface Said {
  readonly status: number;
  readonly text: string;
  readonly socket: Socket;
}

export function dialGate(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(path, () => resolve(socket));
    socket.once("error", reject);
  });
}

/** Everything until the other side ends. */
export function rest(socket: Socket): Promise<Buffer> {
  return new Promise(resolve => {
    const chunks: Buffer[] = [];
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    socket.on("error", () => {});
    socket.once("close", () => resolve(Buffer.concat(chunks)));
  });
}

/** Send `bytes` and read the head of the reply, and all of it when it is a refusal. */
export async function say(path: string, bytes: string | Buffer): Promise<Said> {
  const socket = await dialGate(path);
  socket.write(bytes);
  const head = await new Promise<Buffer>((resolve, reject) => {
    socket
      .once("data", resolve)
      .once("error", reject)
      .once("end", () => reject(new Error("it ended")));
  });
  const text = head.toString();
  const status = Number(/^HTTP\/1\.1 (\d{3}) /u.exec(text)?.[1] ?? Number.NaN);
  if (status === 200) return { status, text, socket };
  const more = await rest(socket);
  return { status, text: text + more.toString(), socket };
}

export const tunnel = (path: string, target: string): Promise<Said> =>
  say(path, `CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n\r\n`);
