/**
 * `plugin dev`: the plugin runs, and after each save it is started again and called with its fixtures, or with one sample. Whatever is
 * broken is told and waits for the next save. At the end no process is left.
 *
 * States: reading ──manifest and program good──► running ──calls made──► waiting ──a file changed──► reading;
 *         reading, running ──something is broken──► waiting;  any ──signal──► ended
 */
import { MairustError, messageOf } from "../core/errors.ts";
import { ManifestError, problemText } from "../plugins/problem.ts";
import { type DevOptions, lintText } from "../wire/author-calls.ts";
import { lintPlugin } from "./lint.ts";
import { type Host, type OpenHost, PluginProcess } from "./plugin-process.ts";
import { findManifest, readProject } from "./project.ts";
import { runFixtures } from "./test.ts";
import { tryMessage } from "./trigger.ts";
import { nextChange, snapshotOf } from "./watch.ts";

/** @throws {MairustError} `plugin_load`: there is no plugin at all */
export async function developPlugin(options: DevOptions, openHost: OpenHost): Promise<void> {
  const { folder } = await findManifest(options.folder);
  const host = openHost(options.bare);
  try {
    await turns(options, host, folder);
  } finally {
    host.close();
  }
}

async function turns(options: DevOptions, host: Host, folder: string): Promise<void> {
  const { onEvent, signal } = options;
  let seen = await snapshotOf(folder);
  onEvent({ kind: "watching", folder });
  let changedAt = performance.now();
  while (!signal.aborted) {
    await turn(options, host, changedAt);
    const change = await nextChange(folder, seen, signal).catch(ended);
    if (change === undefined) return;
    changedAt = performance.now();
    seen = change.now;
    onEvent({ kind: "changed", files: change.files });
  }
}

/** Only the signal ends the wait for a change. */
const ended = () => undefined;

/** One start, its calls, its end. Never rejects for what the author did. */
async function turn(options: DevOptions, host: Host, changedAt: number): Promise<void> {
  const { onEvent, signal, sample } = options;
  let running: PluginProcess | undefined;
  const endNow = () => void running?.stop();
  try {
    const project = await readProject(options.folder);
    const { entries } = await lintPlugin(options.folder);
    const errors = entries.filter(({ severity }) => severity === "error").map(lintText);
    if (errors.length > 0) onEvent({ kind: "broken", problems: errors });
    running = await PluginProcess.start(project, host, line => onEvent({ kind: "log", line }));
    signal.addEventListener("abort", endNow, { once: true });
    if (signal.aborted) return;
    const sinceChangeMs = () => Math.round(performance.now() - changedAt);
    if (sample === undefined) {
      const report = await runFixtures(running, { names: [], update: false });
      onEvent({ kind: "tested", report, sinceChangeMs: sinceChangeMs() });
    } else {
      const asked = {
        message: { kind: "sample", name: sample },
        point: undefined,
        mailFrom: undefined,
        recipients: [],
      } as const;
      const report = await tryMessage(running, asked);
      onEvent({ kind: "tried", report, sinceChangeMs: sinceChangeMs() });
    }
  } catch (error) {
    if (signal.aborted) return;
    onEvent({ kind: "broken", problems: problemsOf(error) });
  } finally {
    signal.removeEventListener("abort", endNow);
    await running?.stop();
  }
}

function problemsOf(error: unknown): readonly string[] {
  if (error instanceof ManifestError) return error.problems.map(problemText);
  // A bug of ours ends the command; what the author did wrong does not.
  if (!(error instanceof MairustError) || error.code === "internal") throw error;
  return [messageOf(error)];
}
