/**
 * A thread that checks senders, whose checks do what the HELO name says: break, or count what they are given. Everything around the
 * checks is the service's own.
 */
import { parentPort, workerData } from "node:worker_threads";
import type { Findings } from "../../src/delivery/sender-auth-findings.ts";
import type { ThreadData } from "../../src/delivery/sender-auth-port.ts";
import { type Evaluate, serveChecks } from "../../src/delivery/sender-auth-serve.ts";

/** Asks DNS first (a `reader` does not), so that the test knows that it is there, and says when it goes on. */
const evaluate: Evaluate = async ({ helo = "", mailFrom }, content, resolve) => {
  const found = (why: string): Findings => ({
    spf: { result: "none", identity: "mailfrom", value: mailFrom, why },
  });
  try {
    if (helo !== "reader") await resolve(`${mailFrom}.test`, "TXT");
  } catch {
    if (helo !== "deaf") return found("no answer");
  }
  switch (helo) {
    case "hang":
      for (;;);
    case "exit":
      return process.exit(1);
    case "grow":
      for (const all: string[][] = []; ; ) all.push(Array.from({ length: 1000 }, (_, i) => `${i}`));
    case "throw":
      throw new Error("broken on purpose");
    case "deaf":
      return new Promise(() => undefined);
  }
  let bytes = 0;
  for await (const piece of content) bytes += piece.length;
  return found(`${bytes} octets`);
};

if (parentPort !== null) serveChecks(parentPort, (workerData as ThreadData).shared, evaluate);
