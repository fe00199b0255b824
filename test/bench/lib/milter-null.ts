/**
 * A milter that asks for the same steps as ours, looks at nothing and accepts everything: the cost of having a milter at all.
 *
 *   node build/test/bench/lib/milter-null.js SOCKET-PATH headers|all
 */
import { createServer, type Socket } from "node:net";
import { argv } from "node:process";
import { decodeCommand } from "../../../src/protocols/milter/codec.ts";
import { negotiate } from "../../../src/protocols/milter/negotiation.ts";
import { encodeResponse } from "../../../src/protocols/milter/responses.ts";
import { SMFIC_BODYEOB, SMFIC_OPTNEG } from "../../../src/protocols/milter/symbols.ts";

const [, , path = "", what = "all"] = argv;
const all = what === "all";
const needs = {
  headers: true,
  body: all,
  hold: false,
  recipients: false,
  replaceBody: false,
  quarantine: false,
};
const CONTINUE = encodeResponse({ kind: "continue" });

/** On a UNIX socket only the negotiation and the end of the message are answered. */
function serve(socket: Socket): void {
  let rest: Buffer = Buffer.alloc(0);
  socket.on("error", () => undefined);
  socket.on("data", chunk => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    while (rest.length >= 5 && rest.length >= 4 + rest.readUInt32BE()) {
      const packet = rest.subarray(4, 4 + rest.readUInt32BE());
      rest = rest.subarray(4 + packet.length);
      const reply = answer(packet);
      if (reply !== undefined) socket.write(reply);
    }
  });
}

function answer(packet: Buffer): Buffer | undefined {
  if (packet[0] === SMFIC_BODYEOB) return CONTINUE;
  if (packet[0] !== SMFIC_OPTNEG) return undefined;
  const command = decodeCommand(packet);
  if (command.kind !== "optneg") throw new Error(`not a negotiation: ${command.kind}`);
  return encodeResponse({ kind: "optneg", ...negotiate(command, needs, "unix") });
}

const server = createServer(serve);
server.listen(path, () => process.stdout.write("ready\n"));
process.on("SIGTERM", () => process.exit(0));
