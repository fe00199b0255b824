/** Entry of a thread that checks senders (message path, step 2). It loads the library, which takes a while, before it says that it is ready. */
import { parentPort, workerData } from "node:worker_threads";
import { evaluate } from "./sender-auth-evaluate.ts";
import type { ThreadData } from "./sender-auth-port.ts";
import { serveChecks } from "./sender-auth-serve.ts";

if (parentPort !== null) serveChecks(parentPort, (workerData as ThreadData).shared, evaluate);
