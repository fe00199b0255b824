/**
 * An LMTP listener whose intake takes everything and keeps nothing: the cost of the protocol alone.
 *
 *   npx tsx test/bench/lib/lmtp-null.ts inet:127.0.0.1:2599
 */
import { argv } from "node:process";
import { pathToFileURL } from "node:url";
import { accountId, messageId } from "../../../src/core/ids.ts";
import type { ResolvedRecipient } from "../../../src/core/ports/directory.ts";
import type { IntakeStream, MessageIntake } from "../../../src/core/ports/intake.ts";
import type { Log } from "../../../src/core/ports/log.ts";
import { createLmtpServer } from "../../../src/protocols/lmtp/server.ts";

const RESOLVED: ResolvedRecipient = {
  account: {
    id: accountId(1),
    address: "user@example.com",
    domain: "example.com",
    quotaBytes: 0,
    usedBytes: 0,
    usedMessages: 0,
  },
  domain: {
    name: "example.com",
    tenant: "main",
    stage: "store",
    accounts: "auto",
    quotaBytes: 0,
    relayLmtp: undefined,
    hasAccountStages: false,
  },
  stage: "store",
};
const ID = messageId("00000000-0000-7000-8000-000000000000");

/** Accepts every recipient, drops every byte, stores nothing. */
export const nullIntake: MessageIntake = {
  checkRecipient: () => Promise.resolve(RESOLVED),
  open: (envelope): IntakeStream => ({
    queueId: envelope.client.ident ?? "",
    write: () => undefined,
    finish: () =>
      Promise.resolve(envelope.recipients.map(() => ({ kind: "stored", already: false, id: ID }))),
    abort: () => Promise.resolve(),
  }),
};

export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {}, child: () => silentLog };

function main(target: string): void {
  const lmtp = createLmtpServer({
    config: {
      hostname: "null.example",
      connections: 1000,
      xforwardFrom: ["127.0.0.0/8"],
      chainTimeoutMs: 30_000,
      messageBytes: 52_428_800,
    },
    intake: nullIntake,
    log: silentLog,
    metrics: { recipient() {}, duration() {}, connections() {} },
  });
  const server = lmtp.createListener();
  const inet = /^inet:(.+):(\d+)$/u.exec(target);
  if (inet === null) server.listen(target.replace(/^unix:/u, ""));
  else server.listen(Number(inet[2]), inet[1]);
}

if (import.meta.url === pathToFileURL(argv[1] ?? "").href) main(argv[2] ?? "inet:127.0.0.1:2599");
