/**
 * IDLE: tells news of the selected mailbox at once, until the client says DONE. Holds no timer and no copy of anything.
 * Source: RFC 2177.
 */
import type { Connection } from "./connection.ts";
import type { SessionContext } from "./context.ts";
import { announce } from "./news.ts";
import { bad, type Completion, ok } from "./reply.ts";

/**
 * @param leaving  asked at every wake-up: true ends IDLE
 * @returns the tagged answer, or undefined when the session is to end
 * @throws {ConnectionGone}
 */
export async function idle(
  context: SessionContext,
  connection: Connection,
  leaving: () => boolean,
): Promise<Completion | undefined> {
  const { output, selected } = context;
  output.text("+ idling\r\n");
  const unsubscribe = selected?.mailbox.onChange(() => connection.latch.raise());
  try {
    // What came before we listened is news too.
    await selected?.mailbox.refresh();
    for (;;) {
      const line = connection.nextLine();
      if (line !== undefined) return answer(line);
      // Not as if the connection were gone: what was answered before may not be sent yet, and the peer may still read.
      if (connection.inputEnded || leaving()) return undefined;
      await announce(context);
      // Who does not read is told no more until it does, or is cut.
      await output.pressure();
      await connection.wait();
    }
  } finally {
    unsubscribe?.();
  }
}

function answer(line: Buffer | "overflow"): Completion {
  const done = line !== "overflow" && line.toString("latin1").trim().toUpperCase() === "DONE";
  return done ? ok("IDLE completed") : bad("Expected DONE");
}
