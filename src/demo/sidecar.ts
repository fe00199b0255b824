/**
 * The sidecar of the demonstration: a process of its own, so that it can be killed as hard as a power cut would. Asked through the
 * UNIX socket of its API.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { request } from "node:http";
import type { Deadline } from "../core/deadline.ts";
import { MairustError } from "../core/errors.ts";
import { processEnvironment } from "../platform/config/environment.ts";
import { sleep, within } from "../platform/deadline.ts";
import type { Site } from "./site.ts";

/** How to start this program again. */
export interface Program {
  /** The file that Node.js was started with. */
  readonly mainFile: string;
  readonly nodeOptions: readonly string[];
}

/** Time between two looks at something that will come. */
export const POLL_MS = 25;
/** Largest JSON answer of the API here. */
const MAX_ANSWER_BYTES = 4_194_304;
const LOG_LINES = 15;

export class Sidecar {
  readonly #program: Program;
  readonly #site: Site;
  readonly #logFile: string;
  #child: ChildProcess | undefined;

  constructor(program: Program, site: Site, logFile: string) {
    this.#program = program;
    this.#site = site;
    this.#logFile = logFile;
  }

  /** Start the process and wait until it says that it is ready. @throws {MairustError} `invalid_state` with the end of its log */
  async start(deadline: Deadline): Promise<void> {
    const log = openSync(this.#logFile, "a");
    const { mainFile, nodeOptions } = this.#program;
    const child = spawn(
      process.execPath,
      [...nodeOptions, mainFile, "serve", "--config", this.#site.configFile],
      {
        stdio: ["ignore", log, log],
        // Ctrl-C goes to the demonstration alone, which then stops this one.
        detached: true,
        env: foreignEnvironment(),
      },
    );
    closeSync(log);
    this.#child = child;
    while (!(await this.#isReady())) {
      if (child.exitCode !== null || child.signalCode !== null) throw this.#failed("it ended");
      if (deadline.remainingMs() === 0) throw this.#failed("it is not ready in time");
      await sleep(POLL_MS);
    }
  }

  /** As a power cut would: no drain, no goodbye. */
  async kill(): Promise<void> {
    await this.#end("SIGKILL");
  }

  /** Drain and stop. */
  async stop(deadline: Deadline): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    try {
      await within(this.#end("SIGTERM"), deadline);
    } catch {
      await this.#end("SIGKILL");
    }
  }

  /** The body of an answer 200, or undefined for any other status. */
  async ask<T>(path: string): Promise<T | undefined> {
    const { status, text } = await this.#request("GET", path);
    return status === 200 ? (JSON.parse(text) as T) : undefined;
  }

  /** Have something done. @throws {MairustError} `data_invalid` with the answer, when it is not 200 */
  async order<T>(path: string): Promise<T> {
    const { status, text } = await this.#request("POST", path);
    if (status === 200) return JSON.parse(text) as T;
    throw new MairustError(
      "data_invalid",
      `The demonstration failed: POST ${path} answered ${status} ${text}`,
    );
  }

  async #isReady(): Promise<boolean> {
    try {
      return (await this.#request("GET", "/readyz")).status === 200;
    } catch {
      return false; // no listener yet
    }
  }

  #request(
    method: "GET" | "POST",
    path: string,
  ): Promise<{ readonly status: number; readonly text: string }> {
    return new Promise((resolve, reject) => {
      const call = request({ socketPath: this.#site.apiSocket, path, method }, response => {
        const chunks: Buffer[] = [];
        let bytes = 0;
        response.on("data", (chunk: Buffer) => {
          bytes += chunk.length;
          if (bytes > MAX_ANSWER_BYTES)
            response.destroy(new MairustError("too_many", "Cannot read an answer: too large"));
          else chunks.push(chunk);
        });
        response.on("end", () =>
          resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }),
        );
        response.on("error", reject);
      });
      call.on("error", reject);
      call.end();
    });
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise<void>(resolve => child.once("exit", () => resolve()));
    child.kill(signal);
    await ended;
  }

  #failed(reason: string): MairustError {
    const end = readFileSync(this.#logFile, "utf8").trimEnd().split("\n").slice(-LOG_LINES).join("\n");
    return new MairustError("invalid_state", `Cannot start the sidecar: ${reason}; its log ends:\n${end}`);
  }
}

/** Our own variables stay out: the generated configuration is the whole of it. */
function foreignEnvironment(): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const [name, value] of Object.entries(processEnvironment())) {
    if (value !== undefined && !name.startsWith("MAIRUST_")) kept[name] = value;
  }
  return kept;
}
