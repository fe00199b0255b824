/** An LMTP server that keeps what it is given, octet for octet, for clients that deliver by LMTP. */
import { once } from "node:events";
import { buffer } from "node:stream/consumers";
import { SMTPServer } from "smtp-server";

export interface LmtpSink {
  readonly port: number;
  readonly messages: readonly Buffer[];
  stop(): Promise<void>;
}

export async function startLmtpSink(): Promise<LmtpSink> {
  const messages: Buffer[] = [];
  const server = new SMTPServer({
    lmtp: true,
    authOptional: true,
    disableReverseLookup: true,
    hideSTARTTLS: true,
    noDelay: true,
    onData(stream, session, callback) {
      buffer(stream).then(
        bytes => {
          messages.push(bytes);
          callback(
            null,
            session.envelope.rcptTo.map(() => "kept"),
          );
        },
        (error: unknown) => callback(error instanceof Error ? error : new Error(String(error))),
      );
    },
  });
  server.listen(0, "127.0.0.1");
  await once(server.server, "listening");
  const address = server.server.address();
  if (address === null || typeof address === "string") throw new Error("the LMTP sink has no port");
  return {
    port: address.port,
    messages,
    stop: () => new Promise(resolve => server.close(() => resolve())),
  };
}
