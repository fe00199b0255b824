/** A thread that checks senders: it takes long to start, and stands still for a moment with each message. */
import { parentPort, workerData } from "node:worker_threads";
import type { ThreadData } from "../../src/delivery/sender-auth-port.ts";
import { serveChecks } from "../../src/delivery/sender-auth-serve.ts";

const START_MS = 1_200;
const MESSAGE_MS = 60;

const stand = (ms: number) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);

stand(START_MS);
if (parentPort !== null)
  serveChecks(parentPort, (workerData as ThreadData).shared, async () => {
    stand(MESSAGE_MS);
    return {};
  });
