/**
 * A plugin on trial: started as its manifest says, called through the transport, the permission engine and the answer check that mail
 * goes through. No service, no ledger, nothing applied. What the plugin does wrong becomes a verdict; nothing is thrown for it.
 */
import { randomBytes } from "node:crypto";
import type { Deadline } from "../core/deadline.ts";
import { MairustError } from "../core/errors.ts";
import type { CreateTransport, HookPlugin } from "../core/hook-plugin.ts";
import { callId, messageId } from "../core/ids.ts";
import { beyondRequest, grantsOf, missingPrerequisites } from "../core/permissions-grants.ts";
import type { HookPoint } from "../core/ports/hooks.ts";
import type { Log } from "../core/ports/log.ts";
import type { NewSecret, PluginSecrets } from "../core/ports/plugin-secrets.ts";
import type { PluginTransport } from "../core/ports/plugin-transport.ts";
import { compileHooks, type Hook } from "../hooks/hook-set.ts";
import { PayloadRoom } from "../hooks/payload-room.ts";
import { tryHook } from "../hooks/try-hook.ts";
import { deadlineAfter } from "../platform/deadline.ts";
import { uuid7Generator } from "../platform/uuid7.ts";
import type { FoundPlugin } from "../plugins/discovery.ts";
import { isCalledByHttp } from "../plugins/endpoint.ts";
import { rowsOfManifest, violationPolicy } from "../plugins/manifest-hooks.ts";
import { findingText } from "../plugins/problem.ts";
import { resolveSettings } from "../plugins/settings.ts";
import { type PluginRules, transportSpec } from "../plugins/transport-spec.ts";
import type { CallReport } from "../wire/author-calls.ts";
import type { Manifest } from "../wire/manifest.ts";
import type { PermissionsInput } from "../wire/permissions.ts";
import { factsOf, type Trial } from "./message-facts.ts";
import { verdictOf } from "./verdict.ts";

/** What starts plugins here, and what is told of it. */
export interface Host {
  readonly create: CreateTransport;
  /** What somebody should know of how a plugin runs here. */
  notes(manifest: Manifest): readonly string[];
  /** What `[plugins]` would say of it. */
  rules(pluginId: string): PluginRules;
  /** After the last plugin. */
  close(): void;
}

/** `bare`: as plain child processes; else in the sandbox that the service would use. */
export type OpenHost = (bare: boolean) => Host;

/** How long a plugin may take to start, and to end. */
const START_MS = 10_000;
const STOP_MS = 2000;
/** Longest call of all, beside the hook's own time-out. */
const CALL_MS = 600_000;
/** Octets of the one payload that is under way. */
const PAYLOAD_ROOM_BYTES = 64 * 1024 * 1024;
/** Lines of its log that are kept between two calls. */
const MAX_LOG_LINES = 1000;

const QUIET: Log = { debug() {}, info() {}, warn() {}, error() {}, child: () => QUIET };

/** Anything of the fixture or the command that says more than the manifest. */
export interface CallOptions {
  readonly point?: HookPoint | undefined;
  /** Absent: all that the manifest asks for. */
  readonly grants?: PermissionsInput | undefined;
  readonly settings?: Readonly<Record<string, unknown>> | undefined;
  readonly bccAllowed?: readonly string[] | undefined;
  readonly timeoutMs?: number | undefined;
  readonly receivedAt?: Date;
}

export class PluginProcess {
  readonly project: FoundPlugin;
  readonly #transport: PluginTransport;
  readonly #newId = uuid7Generator();
  readonly #onLog: (line: string) => void;
  /** What somebody should know of how it runs. */
  readonly notes: readonly string[];
  #lines: string[] = [];
  #payload: Uint8Array | undefined;

  private constructor(project: FoundPlugin, host: Host, onLog: (line: string) => void) {
    this.project = project;
    this.notes = host.notes(project.manifest);
    this.#onLog = onLog;
    const write = (line: string) => this.#write(line);
    const logs = {
      write: (_id: string, line: string) => write(line),
      dropped: (_id: string, lines: number) => write(`(${lines} lines were dropped: too many at once)`),
    };
    const config = { plugin: {}, plugins: host.rules(project.manifest.id) };
    const parts = { config, secrets: ownSecrets(), logs };
    const spec = transportSpec(project, parts, QUIET);
    this.#transport = host.create({ ...spec, onNotice: text => write(`(host) ${text}`) });
  }

  /** @param onLog  hears each line at once. @throws {MairustError} `not_built`, `plugin_load`, `plugin_failed`: it does not start */
  static async start(
    project: FoundPlugin,
    host: Host,
    onLog: (line: string) => void = () => {},
  ): Promise<PluginProcess> {
    const { entry, id } = project.manifest;
    if (entry.type !== "hook" || (entry.protocol !== "script" && !isCalledByHttp(entry))) {
      const what = `type ${entry.type}, protocol ${entry.protocol ?? "none"}`;
      throw new MairustError("not_built", `Cannot run plugin "${id}": ${what} is not built in this version`);
    }
    const started = new PluginProcess(project, host, onLog);
    const deadline = deadlineAfter(START_MS);
    try {
      await started.#transport.start(deadline);
      return started;
    } catch (error) {
      await started.stop();
      throw withLog(error, started.#lines);
    } finally {
      deadline.dispose();
    }
  }

  /** One call. Never rejects for what the plugin does. @throws {MairustError} `plugin_validation`: the options go beyond the manifest */
  async call(trial: Trial, options: CallOptions = {}, chain?: Deadline): Promise<CallReport> {
    const { id } = this.project.manifest;
    const hook = this.#hookFor(options);
    const facts = factsOf(trial, messageId(this.#newId()), options.receivedAt ?? new Date());
    const deadline = deadlineAfter(CALL_MS, chain);
    this.#lines = [];
    this.#payload = undefined;
    const parts = {
      ledger: { record: async () => {} },
      log: QUIET,
      now: () => new Date(),
      newCallId: () => callId(this.#newId()),
      room: new PayloadRoom(PAYLOAD_ROOM_BYTES),
      mode: "enforce",
    } as const;
    try {
      const { result } = await tryHook(parts, hook, facts, deadline);
      return {
        point: hook.point,
        ms: Math.round(result.ms),
        payload_bytes: result.bytesSent,
        fields: result.fields,
        payload: this.#sent(),
        verdict: verdictOf(result, id),
        log: this.#lines,
      };
    } finally {
      deadline.dispose();
    }
  }

  /** End every process. Never rejects. */
  async stop(): Promise<void> {
    const deadline = deadlineAfter(STOP_MS);
    try {
      await this.#transport.stop(deadline);
    } catch {
      // What did not leave in time was killed: nothing is left to be told.
    } finally {
      deadline.dispose();
    }
  }

  #hookFor(options: CallOptions): Hook {
    const { manifest } = this.project;
    const rows = rowsOfManifest(manifest);
    const row = options.point === undefined ? rows[0] : rows.find(({ point }) => point === options.point);
    if (row === undefined)
      throw refused(manifest.id, `hooks.on of its manifest does not name ${options.point ?? "any point"}`);
    const plugin = this.#pluginFor(options);
    const timeout = options.timeoutMs === undefined ? {} : { timeout_ms: options.timeoutMs };
    const set = compileHooks([{ ...row, ...timeout, mode: "enforce" }], { find: () => plugin });
    const [hook] = [...set.values()].flat(2);
    if (hook === undefined) throw refused(manifest.id, "its hook cannot be compiled");
    return hook;
  }

  #pluginFor({ grants: asked, settings: given, bccAllowed }: CallOptions): HookPlugin {
    const { manifest } = this.project;
    const grants = grantsOf(asked ?? manifest.permissions);
    const beyond = beyondRequest(grants, grantsOf(manifest.permissions));
    if (beyond.length > 0)
      throw refused(manifest.id, `grants: ${beyond.join(", ")} beyond what the manifest asks for`);
    const [missing] = missingPrerequisites(grants);
    if (missing !== undefined) throw refused(manifest.id, `grants: ${missing.code}: ${missing.text}`);
    const { values, findings } = resolveSettings(manifest.settings, given ?? {});
    const [wrong] = findings;
    if (wrong !== undefined) throw refused(manifest.id, `${wrong.path.join(".")}: ${findingText(wrong)}`);
    return {
      id: manifest.id,
      version: manifest.version,
      grants,
      settings: values,
      ...(bccAllowed === undefined ? {} : { bccAllowed }),
      wallTimeMs: manifest.limits?.wall_time_ms ?? Number.POSITIVE_INFINITY,
      onViolation: point => violationPolicy(manifest, point),
      transport: this.#recorded(),
      failure: undefined,
    };
  }

  /** The transport, with the last payload kept for the author to see. */
  #recorded(): PluginTransport {
    const transport = this.#transport;
    return {
      destination: transport.destination,
      start: deadline => transport.start(deadline),
      health: () => transport.health(),
      stop: deadline => transport.stop(deadline),
      call: (payload, call, deadline) => {
        this.#payload = payload;
        return transport.call(payload, call, deadline);
      },
    };
  }

  #sent(): unknown {
    return this.#payload === undefined ? null : JSON.parse(Buffer.from(this.#payload).toString("utf8"));
  }

  #write(line: string): void {
    if (this.#lines.length < MAX_LOG_LINES) this.#lines.push(line);
    this.#onLog(line);
  }
}

/** A plugin from its start to its end, and what started it. */
export async function withPlugin<T>(
  project: FoundPlugin,
  host: Host,
  use: (running: PluginProcess) => Promise<T>,
): Promise<T> {
  try {
    const running = await PluginProcess.start(project, host);
    try {
      return await use(running);
    } finally {
      await running.stop();
    }
  } finally {
    host.close();
  }
}

function refused(id: string, why: string): MairustError {
  return new MairustError("plugin_validation", `Cannot call plugin "${id}": ${why}`);
}

/** What it wrote before it ended says most about why. */
function withLog(error: unknown, lines: readonly string[]): unknown {
  if (!(error instanceof MairustError) || lines.length === 0) return error;
  const text = `${error.message}; it wrote:\n${lines.map(line => `  | ${line}`).join("\n")}`;
  return new MairustError(error.code, text, { cause: error });
}

/** Of this run alone: servers that check signatures cannot know it, and refuse. */
function ownSecrets(): PluginSecrets {
  const secret = randomBytes(32);
  return {
    ensure: async () => {},
    current: () => ({ signing: [secret], staged: undefined }),
    activate: async () => {},
    rotate: (): Promise<NewSecret> =>
      Promise.reject(new MairustError("invalid_state", "Cannot rotate a secret: this is a trial")),
  };
}
