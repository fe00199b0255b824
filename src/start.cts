#!/usr/bin/env node
/**
 * Entry of every command: sets what has to be set before the first ES module is loaded, then `main.ts`. CommonJS, because loading ES
 * modules starts the thread pool.
 *
 * The pool's threads wait for disks, not for processors: with Node's four, four messages at a time could be made durable. A value that
 * the operator sets stands.
 */
const THREADS = 16;

process.env.UV_THREADPOOL_SIZE ??= String(THREADS);
void import("./main.ts");
