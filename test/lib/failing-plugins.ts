/**
 * R4 as a table: how plugins fail, behind which transport, under which policy, at which point. Each cell has a plugin, a hook and a
 * recipient of its own, so that one service can serve all of them at once.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { FAILURE_POLICIES } from "../../src/wire/config/hooks.ts";

export const DOMAIN = "example.test";
/** Of hooks whose plugin does not answer in time; the others have {@link PATIENT_MS}. */
const SHORT_MS = 1000;
/** Until a slow plugin answers: a machine that stands still for some seconds must not give it the time. */
const SLOW_S = 8;
/** The longest that there is. */
const PATIENT_MS = 5000;

type Policy = (typeof FAILURE_POLICIES)[number];
type Way = "worker" | "spawn" | "http";
const POINTS = ["pre_receive", "pre_delivery"] as const;
type Point = (typeof POINTS)[number];

interface Failure {
  /** What the program in {@link PROGRAM} and `http-plugin.ts` call it. */
  readonly does: string;
  readonly outcome: "timeout" | "error" | "malformed";
  readonly ways: readonly Way[];
}

const ALL: readonly Way[] = ["worker", "spawn", "http"];
const FAILURES: readonly Failure[] = [
  { does: "hang", outcome: "timeout", ways: ALL },
  { does: "slow", outcome: "timeout", ways: ALL },
  { does: "crash", outcome: "error", ways: ALL },
  { does: "flood", outcome: "error", ways: ALL },
  { does: "garbage", outcome: "malformed", ways: ALL },
  { does: "wrong_id", outcome: "malformed", ways: ALL },
  // In the sandbox: what it wants is kept from it, or it is ended.
  { does: "memory", outcome: "error", ways: ["worker"] },
  { does: "forks", outcome: "error", ways: ["spawn"] },
  // Nobody listens there.
  { does: "refused", outcome: "error", ways: ["http"] },
];

export interface Cell extends Failure {
  readonly way: Way;
  readonly policy: Policy;
  readonly point: Point;
  /** Of the hook; the recipient's local part too. */
  readonly name: string;
}

export const CELLS: readonly Cell[] = FAILURES.flatMap(failure =>
  failure.ways.flatMap(way =>
    FAILURE_POLICIES.flatMap(policy =>
      POINTS.map(point => {
        const name = `${failure.does.replace("_", "-")}.${way}.${policy}.${point.replace("_", "-")}`;
        return { ...failure, way, policy, point, name };
      }),
    ),
  ),
);

/** It runs in the strongest tier that there is here, which ends it; on a slow machine its time may be over first. */
export const isBomb = (cell: Pick<Cell, "name">) => /^(?:memory|forks)\./u.test(cell.name);

export const idOf = ({ name }: Pick<Cell, "name">) => `com.example.${name}`;
export const addressOf = ({ name }: Pick<Cell, "name">) => `${name}@${DOMAIN}`;
/** Hooks that do their work, before and behind the failing one. */
const GOOD = ["before", "behind"] as const;
/** Mail for whom {@link GOOD} stand, and nobody else. */
const JUDGED = ".*\\.pre-(receive|delivery)@.*";
/** Its plugin hangs for as long as a hook may wait. */
export const WAITING = POINTS.map(point => ({
  name: `waiting-${point.replace("_", "-")}`,
  point,
}));

const PROGRAM = `
answer() {
  case $1 in
    hang) sleep 600 ;;
    slow) sleep ${SLOW_S}; echo '{"action":"reject"}' ;;
    crash) exit 3 ;;
    flood) yes flood ;;
    memory) python3 -ISE -c 'import mmap; m = mmap.mmap(-1, 1 << 30); [m.write(b"x" * (1 << 20)) for _ in range(1 << 10)]'; exit 3 ;;
    forks) bomb() { bomb & bomb & wait; }; bomb; exit 3 ;;
    garbage) echo 'not json' ;;
    wrong_id) echo '{"call_id":"018f0000-0000-7000-8000-000000000000","action":"reject"}' ;;
    *) echo "{\\"tags\\":{\\"add\\":[\\"$1\\"]}}" ;;
  esac
}
if [ "$1" = spawn ]; then
  cat >/dev/null
  answer "$2"
  exit
fi
while read -r line; do
  case $line in
    '{"mairust"'*)
      echo "{\\"mairust\\":1,\\"plugin\\":\\"$MAIRUST_PLUGIN_ID\\",\\"version\\":\\"1.0.0\\",\\"api\\":[\\"1\\"]}" ;;
    '{"health"'*) echo '{"status":"ok"}' ;;
    *) answer "$2" ;;
  esac
done
`;
const GRANTS = `{ read_headers = ["Subject"], write_tags = true, decide = ["reject", "tempfail", "hold"] }`;

export interface FailingPlugins {
  /** Empty folder for all of them. */
  readonly dir: string;
  /** Of a server that behaves as `http-plugin.ts`. */
  readonly origin: string;
  /** Where nobody listens. */
  readonly nobody: string;
}

/** Write the plugins. @returns the configuration that switches them and their hooks on */
export function failingPlugins({ dir, origin, nobody }: FailingPlugins): string {
  const entry = ({ way, does }: Pick<Cell, "way" | "does">, workers = 1) =>
    way === "http"
      ? `protocol = "http"\nendpoint = "${does === "refused" ? nobody : origin}"`
      : `protocol = "script"\nmode = "${way}"\nworkers = ${workers}\ncommand = ["sh", "main.sh", "${way}", "${does}"]`;
  for (const cell of CELLS) writePlugin(dir, cell, entry(cell));
  for (const name of GOOD) writePlugin(dir, { name }, entry({ way: "worker", does: name }, 4));
  for (const cell of WAITING) writePlugin(dir, cell, entry({ way: "http", does: "hang" }));
  const good = GOOD.map(name => ({ name }));
  const all = [...CELLS, ...good, ...WAITING];
  const ids = JSON.stringify(all.map(idOf));
  const bare = JSON.stringify(all.filter(cell => !isBomb(cell)).map(idOf));
  return [
    `[plugins]\nfolders = [${JSON.stringify(dir)}]\nallow_unsigned = ${ids}\nallow_unsandboxed = ${bare}\n`,
    ...CELLS.map(cell => pluginToml(cell, { do: cell.does, ms: SLOW_S * 1000 })),
    ...WAITING.map(cell => pluginToml(cell, { do: "hang" })),
    ...good.map(cell => pluginToml(cell)),
    ...CELLS.map(cellHook),
    ...WAITING.map(waitingHook),
    ...POINTS.flatMap(point => GOOD.map(name => goodHook(name, point))),
  ].join("");
}

function writePlugin(dir: string, cell: Pick<Cell, "name">, entry: string): void {
  const id = idOf(cell);
  const folder = join(dir, id);
  mkdirSync(folder);
  writeFileSync(join(folder, "main.sh"), PROGRAM);
  writeFileSync(
    join(folder, "plugin.toml"),
    `id = "${id}"
name = "${id}"
version = "1.0.0"
[entry]
type = "hook"
${entry}
[hooks]
on = ["pre_receive", "pre_delivery"]
[permissions]
read_headers = ["Subject"]
write_tags = true
decide = ["reject", "tempfail", "hold"]
[settings.do]
type = "string"
[settings.ms]
type = "integer"
default = 0
`,
  );
}

function pluginToml(cell: Pick<Cell, "name">, settings: object = {}): string {
  const values = Object.entries(settings).map(([key, value]) => `${key} = ${JSON.stringify(value)}`);
  return `[plugin."${idOf(cell)}"]\ngrants = ${GRANTS}\nsettings = { ${values.join(", ")} }\n`;
}

interface Keys {
  readonly plugin: string;
  readonly timeout_ms: number;
  readonly priority?: number;
  readonly on_timeout?: Policy;
  readonly on_error?: Policy;
  readonly recipient?: string;
}

function hookToml(name: string, point: Point, { recipient = `${name}@.*`, ...keys }: Keys): string {
  const lines = Object.entries(keys).map(([key, value]) => `${key} = ${JSON.stringify(value)}\n`);
  const filter = `filter = { recipient = ${JSON.stringify(recipient)} }`;
  return `[[hooks]]\nname = "${name}"\npoint = "${point}"\nmode = "enforce"\n${lines.join("")}${filter}\n`;
}

/** The policy of the other kind of failure would do something else: only the right one may count. */
function cellHook(cell: Cell): string {
  const other: Policy = cell.policy === "allow" ? "reject" : "allow";
  const isTimeout = cell.outcome === "timeout";
  return hookToml(cell.name, cell.point, {
    plugin: idOf(cell),
    timeout_ms: isTimeout ? SHORT_MS : PATIENT_MS,
    on_timeout: isTimeout || isBomb(cell) ? cell.policy : other,
    on_error: isTimeout ? other : cell.policy,
  });
}

function waitingHook({ name, point }: (typeof WAITING)[number]): string {
  return hookToml(name, point, { plugin: idOf({ name }), on_timeout: "allow", timeout_ms: PATIENT_MS });
}

function goodHook(name: (typeof GOOD)[number], point: Point): string {
  return hookToml(`${name}.${point}`, point, {
    plugin: idOf({ name }),
    timeout_ms: PATIENT_MS,
    priority: name === "before" ? 1 : 1000,
    recipient: JUDGED,
  });
}
