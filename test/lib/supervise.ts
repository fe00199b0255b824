/** Somebody who starts the service again whenever it ended, as systemd does, and `verify-no-loss` against a private Postfix. */
import type { Postfix } from "../../src/mailhost/postfix.ts";
import type { CommandResult, Sidecar } from "./sidecar.ts";

/** @returns a function that ends it; the service runs afterwards */
export function supervise(sidecar: Sidecar): () => Promise<void> {
  const running = { on: true };
  const loop = (async () => {
    while (running.on) {
      await sidecar.ended();
      // Killed again before it was seen here that it was ready: it is started again.
      if (running.on)
        await sidecar.restart().catch((error: unknown) => {
          if (sidecar.running()) throw error;
        });
    }
  })();
  return async () => {
    running.on = false;
    await sidecar.kill();
    await loop;
    // A start of the loop that was on its way made another one.
    await sidecar.kill();
    await sidecar.restart();
  };
}

export function verifyNoLoss(
  { postfix, sidecar }: { readonly postfix: Postfix; readonly sidecar: Sidecar },
  args: readonly string[],
): Promise<CommandResult> {
  const where = ["--postfix", postfix.configDir, "--through", `inet:127.0.0.1:${postfix.smtpPort}`];
  return sidecar.mairust(["verify-no-loss", ...where, ...args, "-f", "json"]);
}
