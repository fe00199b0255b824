/** Entry of a thread that checks senders (message path, step 2). It loads the library, which takes a while, before it says that it is ready. */
import { parentPort, workerData } from "node:worker_threads";
import { evaluate } from "./sender-auth-evaluate.ts";
import type { ThreadData } from "./sender-auth-port.ts";
import { serveChecks } from "./sender-auth-serve.ts";

// The library takes names out of messages for paths in its objects. By this one a message would reach what all objects have in common,
// and with it every later message on the thread. (As `node --disable-proto=delete`, which a thread cannot be given.)
Reflect.deleteProperty(Object.prototype, "__proto__");

if (parentPort !== null) serveChecks(parentPort, (workerData as ThreadData).shared, evaluate);
