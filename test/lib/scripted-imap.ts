/**
 * An IMAP server for tests of the way in: in clear, with STARTTLS, or with TLS from the start. It keeps every line that it was sent, with
 * whether it came encrypted. One empty INBOX lies behind it.
 */
import { createServer as createPlain, type Server, type Socket } from "node:net";
import { createServer as createTls, TLSSocket } from "node:tls";
import type { Certificate } from "./certificate.ts";

export interface ScriptedImapOptions {
  /** Besides IMAP4rev1, and STARTTLS where it is offered. */
  readonly capabilities: readonly string[];
  readonly certificate?: Certificate;
  /** With a certificate: TLS from the start. Otherwise STARTTLS is offered. */
  readonly implicit?: boolean;
  /** What a mechanism is challenged with after its initial response, in base64: it is refused then. */
  readonly challenge?: string;
}

export interface ImapLine {
  readonly text: string;
  readonly encrypted: boolean;
}

export interface ScriptedImap {
  readonly port: number;
  readonly lines: readonly ImapLine[];
  stop(): Promise<void>;
}

export async function startScriptedImap(options: ScriptedImapOptions): Promise<ScriptedImap> {
  const lines: ImapLine[] = [];
  const sockets = new Set<Socket>();
  const { certificate, implicit = false } = options;
  const accept = (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    serve(socket, options, lines);
  };
  const server: Server =
    implicit && certificate !== undefined
      ? createTls({ key: certificate.key, cert: certificate.cert }, accept)
      : createPlain(accept);
  server.on("tlsClientError", () => undefined);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : 0,
    lines,
    async stop() {
      const closed = new Promise<void>(resolve => server.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

function serve(socket: Socket, options: ScriptedImapOptions, lines: ImapLine[]): void {
  socket.write("* OK ready\r\n");
  listen(socket, options, lines);
}

function listen(socket: Socket, options: ScriptedImapOptions, lines: ImapLine[]): void {
  const encrypted = socket instanceof TLSSocket;
  let buffer = "";
  /** Of the command whose challenge was sent. */
  let challenged = "";
  const onData = (chunk: Buffer) => {
    buffer += chunk.toString("latin1");
    for (let end = buffer.indexOf("\r\n"); end >= 0; end = buffer.indexOf("\r\n")) {
      const text = buffer.slice(0, end);
      buffer = buffer.slice(end + 2);
      lines.push({ text, encrypted });
      if (challenged !== "") {
        socket.write(`${challenged} NO [AUTHENTICATIONFAILED] token is old\r\n`);
        challenged = "";
        continue;
      }
      const [tag = "", command = ""] = text.split(" ");
      if (command === "AUTHENTICATE" && options.challenge !== undefined) {
        challenged = tag;
        socket.write(`+ ${options.challenge}\r\n`);
      } else if (command === "STARTTLS" && options.certificate !== undefined) {
        socket.off("data", onData);
        socket.write(`${tag} OK begin\r\n`);
        const { key, cert } = options.certificate;
        const upgraded = new TLSSocket(socket, { isServer: true, key, cert });
        upgraded.on("error", () => undefined);
        listen(upgraded, options, lines);
      } else socket.write(answerTo(tag, command, encrypted, options));
    }
  };
  socket.on("data", onData);
}

function answerTo(
  tag: string,
  command: string,
  encrypted: boolean,
  { capabilities, certificate }: ScriptedImapOptions,
): string {
  const words = [
    "IMAP4rev1",
    ...capabilities,
    ...(certificate !== undefined && !encrypted ? ["STARTTLS"] : []),
  ].join(" ");
  const untagged: Readonly<Record<string, string>> = {
    CAPABILITY: `* CAPABILITY ${words}\r\n`,
    NAMESPACE: '* NAMESPACE (("" "/")) NIL NIL\r\n',
    LIST: '* LIST () "/" INBOX\r\n',
    LSUB: '* LSUB () "/" INBOX\r\n',
    LOGOUT: "* BYE\r\n",
  };
  return `${untagged[command] ?? ""}${tag} OK done\r\n`;
}
