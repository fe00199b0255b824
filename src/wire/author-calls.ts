/**
 * What the commands for plugin authors ask of `author/`, and what they get: all of it runs in the command's process, without the
 * service. `main.ts` hands it over. Results are shown as JSON as they are.
 */
import type { HOOK_POINTS } from "./config/hooks.ts";

type HookPoint = (typeof HOOK_POINTS)[number];

export interface LintEntry {
  readonly severity: "error" | "warning";
  readonly file: string;
  /** From 1; 0: the file as a whole. */
  readonly line: number;
  /** Dotted; "": none. */
  readonly key: string;
  /** A stable name where there is one, e.g. `PERM_DEP_TAGS`. */
  readonly code: string | null;
  readonly text: string;
}

/** `plugin.toml:7: entry.protocol: found "htp", allowed: …` */
export function lintText({ file, line, key, code, text }: LintEntry): string {
  const place = line === 0 ? file : `${file}:${line}`;
  return `${place}: ${key === "" ? "" : `${key}: `}${code === null || code === "not_built" ? "" : `${code}: `}${text}`;
}

export interface LintReport {
  readonly file: string;
  /** null: it could not be read. */
  readonly id: string | null;
  readonly version: string | null;
  readonly entries: readonly LintEntry[];
}

/** What a call came to, after the permission engine looked at the answer. */
export interface PluginVerdict {
  readonly outcome: string;
  readonly problem: string | null;
  readonly action: string | null;
  readonly code: number | null;
  readonly reply: string | null;
  readonly reason: string | null;
  readonly explanation: string | null;
  readonly tags: readonly string[];
  readonly tags_removed: readonly string[];
  readonly flags: readonly string[];
  readonly folder: string | null;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly headers: ReadonlyArray<readonly [name: string, value: string]>;
  readonly append_text: { readonly plain: string; readonly html: string } | null;
  readonly bcc: readonly string[];
  readonly usage: Readonly<Record<string, number | string>> | null;
  readonly denied: ReadonlyArray<{ readonly item: string; readonly why: string }>;
  readonly unknown_fields: number;
}

/** One call as the author sees it. */
export interface CallReport {
  readonly point: HookPoint;
  readonly ms: number;
  readonly payload_bytes: number;
  /** Beyond the envelope that every call has. */
  readonly fields: readonly string[];
  /** What was sent; null: nothing left. */
  readonly payload: unknown;
  readonly verdict: PluginVerdict;
  /** Lines that the plugin wrote to stderr meanwhile. */
  readonly log: readonly string[];
}

export interface Difference {
  readonly what: string;
  readonly expected: string;
  readonly got: string;
}

export interface FixtureReport {
  readonly name: string;
  readonly state: "passed" | "failed" | "updated";
  readonly ms: number;
  readonly differences: readonly Difference[];
  readonly call: CallReport | null;
}

export interface TestReport {
  readonly plugin: string;
  readonly passed: number;
  readonly failed: number;
  readonly updated: number;
  readonly ms: number;
  readonly fixtures: readonly FixtureReport[];
  /** What somebody should know of how it ran. */
  readonly notes: readonly string[];
}

export interface TestOptions {
  readonly folder: string;
  /** Only these fixtures; empty: all. */
  readonly names: readonly string[];
  /** Write what the plugin answers as the expectation of fixtures that fail or have none. */
  readonly update: boolean;
  /** As a plain child process, whatever this host could do. */
  readonly bare: boolean;
}

/** The message of a trial call. */
export type TrialMessage =
  | { readonly kind: "sample"; readonly name: string }
  | { readonly kind: "file"; readonly bytes: Uint8Array; readonly name: string };

export interface TriggerOptions {
  readonly folder: string;
  readonly message: TrialMessage;
  /** undefined: the first of hooks.on. */
  readonly point: HookPoint | undefined;
  readonly mailFrom: string | undefined;
  /** Empty: as the sample has them. */
  readonly recipients: readonly string[];
  readonly bare: boolean;
}

export interface TriggerReport extends CallReport {
  readonly plugin: string;
  readonly message: string;
  readonly notes: readonly string[];
}

export interface SampleInfo {
  readonly name: string;
  readonly description: string;
}

export interface DevOptions {
  readonly folder: string;
  /** Instead of the fixtures. */
  readonly sample: string | undefined;
  readonly bare: boolean;
  readonly onEvent: (event: DevEvent) => void;
  /** Ends it. */
  readonly signal: AbortSignal;
}

export type DevEvent =
  | { readonly kind: "watching"; readonly folder: string }
  | { readonly kind: "changed"; readonly files: readonly string[] }
  | { readonly kind: "broken"; readonly problems: readonly string[] }
  | { readonly kind: "log"; readonly line: string }
  | { readonly kind: "tested"; readonly report: TestReport; readonly sinceChangeMs: number }
  | { readonly kind: "tried"; readonly report: TriggerReport; readonly sinceChangeMs: number };

export interface InitOptions {
  /** A name, which is made a folder here, or the path of a folder that is empty or not there. */
  readonly target: string;
  readonly lang: string;
  readonly kind: string;
  /** undefined: made from the name. */
  readonly id: string | undefined;
  readonly dryRun: boolean;
}

export interface InitReport {
  readonly folder: string;
  readonly id: string;
  readonly files: readonly string[];
}

export interface RecordOptions {
  readonly folder: string;
  /** Of the fixture; undefined: the next free `recorded-N`. */
  readonly name: string | undefined;
  readonly message: Uint8Array;
  readonly mailFrom: string | undefined;
  readonly recipients: readonly string[];
  /** Subject and texts stay as they are, but for addresses. */
  readonly keepText: boolean;
  readonly dryRun: boolean;
}

export interface RecordReport {
  readonly fixture: string;
  readonly files: readonly string[];
  readonly size_bytes: number;
  readonly addresses: number;
  readonly words: number;
  readonly attachments: number;
  readonly kept_text: boolean;
}

export interface AuthorTools {
  lint(path: string): Promise<LintReport>;
  /** @throws {MairustError} `invalid_argument`, `not_built`, `already_exists` */
  init(options: InitOptions): Promise<InitReport>;
  /** @throws {MairustError} `plugin_validation`, `plugin_load`, `not_found`; never for what a plugin answers */
  test(options: TestOptions): Promise<TestReport>;
  trigger(options: TriggerOptions): Promise<TriggerReport>;
  /** Until the signal aborts. */
  dev(options: DevOptions): Promise<void>;
  record(options: RecordOptions): Promise<RecordReport>;
  readonly samples: readonly SampleInfo[];
  readonly languages: readonly string[];
  readonly kinds: readonly SampleInfo[];
}
