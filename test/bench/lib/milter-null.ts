/**
 * A milter whose decider accepts everything and keeps nothing: the cost of the protocol alone. It inserts a field, always the same,
 * as long as our trace field: what an edit costs whoever takes it is no cost of the decision.
 *
 *   node build/test/bench/lib/milter-null.js /path/of.sock headers|whole
 */
import { argv } from "node:process";
import { pathToFileURL } from "node:url";
import type { MilterDecider } from "../../../src/core/ports/milter.ts";
import { createMilterServer } from "../../../src/protocols/milter/server.ts";
import { silentLog } from "./lmtp-null.ts";

const FIELD = { kind: "insert_header", index: 0, name: "X-Null", value: "x".repeat(128) } as const;

const decider = (body: boolean): MilterDecider => ({
  needs: () => ({
    headers: true,
    body,
    hold: body,
    recipients: false,
    replaceBody: false,
    quarantine: false,
  }),
  open: () => ({
    id: "",
    full: false,
    write: () => undefined,
    decide: () => Promise.resolve({ kind: "accept", edits: [FIELD] }),
    abort: () => Promise.resolve(),
  }),
});

function main(path: string, content: string): void {
  const milter = createMilterServer({
    config: {
      connections: 1000,
      packetBytes: 1_048_576,
      chainTimeoutMs: 15_000,
      outboundDaemons: [],
      outboundNetworks: [],
    },
    decider: decider(content === "whole"),
    log: silentLog,
    metrics: { message() {}, duration() {}, protocolError() {}, connections() {} },
  });
  milter.createListener().listen(path);
}

if (import.meta.url === pathToFileURL(argv[1] ?? "").href) main(argv[2] ?? "", argv[3] ?? "headers");
