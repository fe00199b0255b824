/**
 * Which source the inputs since the last look have run through: V8's precise block coverage, read over the inspector in
 * this same thread. A look costs some milliseconds, so the engine takes one per batch.
 *
 * V8 leaves out a block that ran as often as what encloses it, so blocks cannot be counted by name: each look is painted
 * onto the characters of the source, outer functions first, and the set of painted characters is what grows.
 */
import { type Profiler, Session } from "node:inspector";

/** Only our own compiled source, not the tests and not the libraries. */
const OURS = /\/src\/|\/test\/fuzz\/planted\//u;
const NOT_OURS = /\/node_modules\//u;

export type Painted = ReadonlyMap<string, Uint8Array>;

export class Coverage {
  readonly #session = new Session();
  readonly #seen = new Map<string, Uint8Array>();
  #covered = 0;

  #counting = false;

  constructor() {
    this.#session.connect();
    this.#post("Profiler.enable");
  }

  /** Counting makes code several times slower, so it is switched on for slices of a run only. */
  count(on: boolean): void {
    if (on === this.#counting) return;
    this.#counting = on;
    if (on) {
      this.#post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
      this.take();
    } else this.#post("Profiler.stopPreciseCoverage");
  }

  /** Characters of our source that some input ran through. */
  get covered(): number {
    return this.#covered;
  }

  /** What ran since the last call, as one octet per character of each file: 1 ran, 0 did not. */
  take(): Painted {
    const { result } = this.#post("Profiler.takePreciseCoverage") as Profiler.TakePreciseCoverageReturnType;
    const painted = new Map<string, Uint8Array>();
    for (const script of result) {
      if (!OURS.test(script.url) || NOT_OURS.test(script.url)) continue;
      painted.set(script.url, paint(script));
    }
    return painted;
  }

  /** Whether `painted` has what was not seen before. */
  isNew(painted: Painted): boolean {
    for (const [url, octets] of painted) {
      const seen = this.#seen.get(url);
      // A plain loop: this runs over all source for every batch.
      for (let i = 0; i < octets.length; i += 1) if (octets[i] === 1 && seen?.[i] !== 1) return true;
    }
    return false;
  }

  add(painted: Painted): void {
    for (const [url, octets] of painted) {
      const before = this.#seen.get(url);
      const seen = new Uint8Array(Math.max(octets.length, before?.length ?? 0));
      if (before !== undefined) seen.set(before);
      for (let i = 0; i < octets.length; i += 1) {
        if (octets[i] === 0 || seen[i] === 1) continue;
        seen[i] = 1;
        this.#covered += 1;
      }
      this.#seen.set(url, seen);
    }
  }

  /** The inspector of one's own thread answers before `post` returns. */
  #post(method: string, params: object = {}): unknown {
    let answer: unknown;
    this.#session.post(method, params, (error: Error | null, result?: unknown) => {
      if (error !== null) throw new Error(`Cannot read coverage: ${method}: ${error.message}`);
      answer = result;
    });
    return answer;
  }
}

/** The first function is the module itself: its range is the file. Functions come outermost first. */
function paint(script: Profiler.ScriptCoverage): Uint8Array {
  const [whole] = script.functions[0]?.ranges ?? [];
  const painted = new Uint8Array(whole?.endOffset ?? 0);
  for (const { ranges } of script.functions) {
    for (const range of ranges) painted.fill(range.count > 0 ? 1 : 0, range.startOffset, range.endOffset);
  }
  return painted;
}
