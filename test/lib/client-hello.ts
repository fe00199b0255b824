/** TLS hellos as OpenSSL makes them, and the parts of which wrong ones are made. */
import { Duplex } from "node:stream";
import { connect } from "node:tls";

/** @param servername  "" for none */
export function realHello(servername: string, options: { ALPNProtocols?: string[] } = {}): Promise<Buffer> {
  return new Promise(resolve => {
    const wire = new Duplex({
      read() {},
      write(chunk: Buffer, _encoding, done) {
        resolve(chunk);
        done();
      },
    });
    connect({ socket: wire, servername, ...options }).on("error", () => {});
  });
}

const number = (value: number, bytes: number) => {
  const buffer = Buffer.alloc(bytes);
  buffer.writeUIntBE(value, 0, bytes);
  return buffer;
};
const vector = (bytes: number, content: Buffer) => Buffer.concat([number(content.length, bytes), content]);

export const extension = (type: number, content: Buffer) =>
  Buffer.concat([number(type, 2), vector(2, content)]);
export const serverName = (...names: string[]) =>
  extension(
    0,
    vector(2, Buffer.concat(names.map(name => Buffer.concat([number(0, 1), vector(2, Buffer.from(name))])))),
  );

export function handshake(extensions: readonly Buffer[], type = 1): Buffer {
  const body = Buffer.concat([
    Buffer.from([3, 3]),
    Buffer.alloc(32),
    vector(1, Buffer.alloc(32)),
    vector(2, Buffer.from([0x13, 0x01])),
    vector(1, Buffer.from([0])),
    vector(2, Buffer.concat(extensions)),
  ]);
  return Buffer.concat([number(type, 1), vector(3, body)]);
}

/** @param sizes  how many bytes the first records hold */
export function records(message: Buffer, ...sizes: readonly number[]): Buffer {
  const out: Buffer[] = [];
  let at = 0;
  for (const size of [...sizes, message.length]) {
    const part = message.subarray(at, at + size);
    at += part.length;
    if (part.length > 0) out.push(Buffer.concat([Buffer.from([22, 3, 1]), vector(2, part)]));
  }
  return Buffer.concat(out);
}
