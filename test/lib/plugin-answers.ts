/** Calls a script plugin as its manifest says, without our runtimes: one process a call, or a worker that speaks in lines. */
import assert from "node:assert/strict";
import { execa } from "execa";
import Schema from "typebox/schema";
import { answerSchema } from "../../src/wire/answer.ts";
import type { Manifest } from "../../src/wire/manifest.ts";
import { type Expected, pluginFolder } from "./plugin-fixtures.ts";

export interface Answer {
  readonly call_id?: string;
  readonly action?: string;
  readonly code?: number;
  readonly reason?: string;
  readonly tags?: { readonly add?: readonly string[] };
  readonly headers?: { readonly add?: ReadonlyArray<readonly [string, string]> };
  readonly metadata?: Readonly<Record<string, unknown>>;
}

interface Run {
  readonly stdout: string;
  readonly stderr: string;
  readonly exitCode: number | undefined;
}

/** What a process may find in its environment besides a path. */
type Environment = Readonly<Record<string, string>>;

/** Start the command in the plugin's folder, give it `input` until EOF, and wait for its end. Its environment is nearly empty. */
export async function runPlugin(
  name: string,
  { entry }: Manifest,
  input: string | Buffer,
  env: Environment = {},
): Promise<Run> {
  const [program = "", ...args] = entry.command ?? [];
  const { stdout, stderr, exitCode } = await execa(program === "node" ? process.execPath : program, args, {
    cwd: pluginFolder(name),
    env: { PATH: "/usr/bin:/bin", ...env },
    extendEnv: false,
    input,
    reject: false,
  });
  return { stdout, stderr, exitCode };
}

/** `mode = "spawn"`. */
export async function askSpawned(name: string, manifest: Manifest, payload: object): Promise<Answer> {
  const { stdout, stderr, exitCode } = await runPlugin(name, manifest, JSON.stringify(payload));
  assert.deepEqual([exitCode, stderr], [0, ""]);
  return checkedAnswer(stdout);
}

/** `mode = "worker"`: greeting, one line for each payload, a health line. */
export async function askWorker(
  name: string,
  manifest: Manifest,
  payloads: readonly object[],
  env: Environment = {},
): Promise<{ readonly answers: readonly Answer[]; readonly health: unknown; readonly log: string }> {
  const lines = [{ mairust: 1 }, ...payloads, { health: true }].map(line => `${JSON.stringify(line)}\n`);
  const { stdout, stderr, exitCode } = await runPlugin(name, manifest, lines.join(""), env);
  assert.equal(exitCode, 0, stderr);
  const [hello = "", ...rest] = stdout.split("\n");
  const { id, version } = manifest;
  assert.deepEqual(JSON.parse(hello), { mairust: 1, plugin: id, version, api: ["1"] });
  assert.equal(rest.length, payloads.length + 1);
  return {
    answers: rest.slice(0, -1).map(line => JSON.parse(line)),
    health: JSON.parse(rest.at(-1) ?? ""),
    log: stderr,
  };
}

/** @throws {AssertionError} the text is no answer of the contract */
function checkedAnswer(text: string): Answer {
  const answer: unknown = JSON.parse(text);
  assert.deepEqual(violations(answer), []);
  return answer as Answer;
}

export function violations(answer: unknown): readonly unknown[] {
  const [valid, errors] = Schema.Errors(answerSchema, answer);
  return valid ? [] : errors;
}

export function assertVerdict(answer: Answer, expected: Expected): void {
  assert.deepEqual(violations(answer), []);
  assert.equal(answer.action ?? "deliver", expected.action);
  if (expected.code !== undefined) assert.equal(answer.code, expected.code);
  if (expected.tags !== undefined) assert.deepEqual(answer.tags?.add ?? [], expected.tags);
  if (expected.headers !== undefined) {
    assert.deepEqual(
      (answer.headers?.add ?? []).map(([field]) => field),
      expected.headers,
    );
  }
  for (const [key, value] of Object.entries(expected.metadata ?? {}))
    assert.deepEqual(answer.metadata?.[key], value, key);
}
