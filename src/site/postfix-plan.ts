/** From how a Postfix is to how it shall be for one target: files to write, the same as commands for people, and the way back. Pure. */
import { join } from "node:path";
import type { Config } from "../wire/config/schema.ts";
import type { SiteChange, SiteFile, SiteFinding, SiteTarget } from "../wire/site-calls.ts";
import { logicalLines, parsePostconf } from "./main-cf.ts";
import { parseMaster } from "./master-cf.ts";
import { type PostfixFacts, type PostfixFiles, UNDO_FILES } from "./postfix-read.ts";
import { type PostfixNames, postfixNames, TABLE_HEADER, wantedFiles } from "./postfix-wanted.ts";
import { observedOf, routeFor, routesOf, withObserved, withoutScope, withRoute } from "./transport-table.ts";

export interface PartPlan {
  readonly changes: readonly SiteChange[];
  readonly undo: readonly SiteChange[];
  readonly obstacles: readonly SiteFinding[];
  readonly files: readonly SiteFile[];
}

/** Of our own files: Postfix's programs read the table as user `postfix`. */
const FILE_MODE = 0o644;

export function planPostfix(facts: PostfixFacts, config: Config, target: SiteTarget): PartPlan {
  const names = postfixNames(facts, config);
  return planTo(facts, config, names, tableFor(facts.files.table, target, names.nextHop ?? ""));
}

/** Takes the target out; with the last one all of it. */
export function planPostfixUndo(facts: PostfixFacts, config: Config, scope: string): PartPlan {
  const { table } = facts.files;
  return planTo(
    facts,
    config,
    postfixNames(facts, config),
    table === undefined ? undefined : withoutScope(table, scope),
  );
}

function tableFor(table: string | undefined, { scope, stage }: SiteTarget, nextHop: string): string {
  const text = table ?? TABLE_HEADER;
  if (stage !== "observe") {
    const value = `mairust:${nextHop}`;
    return routeFor(text, scope)?.value === value && !observedOf(text).includes(scope)
      ? text
      : withRoute(text, scope, value);
  }
  // An address whose domain goes to the sidecar stays on that way: the sidecar relays it unchanged.
  const above = routeFor(withoutScope(text, scope), scope);
  return above === undefined ? withObserved(text, scope) : withoutScope(text, scope);
}

function planTo(
  facts: PostfixFacts,
  config: Config,
  names: PostfixNames,
  table: string | undefined,
): PartPlan {
  const before = facts.files;
  const after = wantedFiles(facts, config, table, names);
  return {
    changes: changesBetween(facts, before, after),
    undo: changesBetween(facts, after, before),
    obstacles: obstaclesOf(names, after),
    files: filesBetween(facts, before, after),
  };
}

function obstaclesOf(names: PostfixNames, after: PostfixFiles): readonly SiteFinding[] {
  const found: SiteFinding[] = [];
  if (names.milter === undefined && after.undoMilter !== undefined)
    found.push({
      code: "milter_no_listener",
      severity: "error",
      what: "Postfix's smtpd cannot reach any listener of milter.listen",
      cause: "smtpd is chrooted: it sees only what lies below the queue directory",
      fix: 'set milter.listen = ["unix:/var/spool/postfix/mairust/milter.sock"] (below queue_directory), or an inet: listener',
    });
  if (names.nextHop === undefined && after.undoRoute !== undefined)
    found.push({
      code: "lmtp_no_listener",
      severity: "error",
      what: "lmtp.listen is empty: there is nothing to deliver to",
      cause: "without a listener mail for this target would wait in the queue",
      fix: 'set lmtp.listen = ["unix:/var/spool/postfix/mairust/lmtp.sock"]',
    });
  return found;
}

/** The undo files first, the table and the service before what refers to them. */
function filesBetween(facts: PostfixFacts, before: PostfixFiles, after: PostfixFiles): readonly SiteFile[] {
  const at = (name: string) => join(facts.configDir, name);
  const all = [
    [at(UNDO_FILES.undoIds), before.undoIds, after.undoIds],
    [at(UNDO_FILES.undoMilter), before.undoMilter, after.undoMilter],
    [at(UNDO_FILES.undoRoute), before.undoRoute, after.undoRoute],
    [facts.masterFile, before.master, after.master],
    [facts.tableFile, before.table, after.table],
    [facts.mainFile, before.main, after.main],
  ] as const;
  return all
    .filter(([, was, text]) => was !== text)
    .map(([path, was, text]) => ({ server: "postfix", path, was, text, mode: FILE_MODE }));
}

const WHY: Readonly<Record<string, string>> = {
  enable_long_queue_ids: "a queue id means one message for good",
  mairust_milter: "hooks before Postfix accepts",
  transport_maps: "the sidecar's table first, then your own",
};

function changesBetween(
  facts: PostfixFacts,
  before: PostfixFiles,
  after: PostfixFiles,
): readonly SiteChange[] {
  return [
    ...mainChanges(facts, before, after),
    ...masterChanges(facts, before, after),
    ...tableChanges(facts, before, after),
  ];
}

function parametersOf(main: string): ReadonlyMap<string, string> {
  return parsePostconf(
    logicalLines(main)
      .map(({ value }) => value.replace(/\s*=\s*/u, " = ").replace(/\s+/gu, " "))
      .join("\n"),
  );
}

const quoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;

function mainChanges(facts: PostfixFacts, before: PostfixFiles, after: PostfixFiles): readonly SiteChange[] {
  const [was, now] = [parametersOf(before.main), parametersOf(after.main)];
  const set = [...now].filter(([name, value]) => was.get(name) !== value);
  const gone = [...was.keys()].filter(name => !now.has(name));
  if (set.length + gone.length === 0) return [];
  const lines = set.map(([name, value]) => `${name} = ${value}`.trimEnd());
  return [
    {
      server: "postfix",
      file: facts.mainFile,
      commands: [
        ...lines.map(line => `postconf -e ${quoted(line)}`),
        ...(gone.length > 0 ? [`postconf -X ${gone.join(" ")}`] : []),
      ],
      lines,
      why: set.flatMap(([name]) => WHY[name] ?? []).join("; "),
    },
  ];
}

function masterChanges(
  facts: PostfixFacts,
  before: PostfixFiles,
  after: PostfixFiles,
): readonly SiteChange[] {
  const textOf = (files: PostfixFiles) =>
    new Map(
      parseMaster(files.master).map(one => [
        `${one.name}/${one.type}`,
        files.master.slice(one.start, one.end),
      ]),
    );
  const [was, now] = [textOf(before), textOf(after)];
  const joined = (raw: string) =>
    logicalLines(raw)
      .map(({ value }) => value.replace(/\s+/gu, " "))
      .join("");
  const changed = [...now].filter(([key, raw]) => was.get(key) !== raw);
  const gone = [...was.keys()].filter(key => !now.has(key));
  return [
    ...changed.map(
      ([key, raw]): SiteChange => ({
        server: "postfix",
        file: facts.masterFile,
        commands: [`postconf -M ${quoted(`${key}=${joined(raw)}`)}`],
        lines: raw.trimEnd().split("\n"),
        why:
          key === "mairust/unix"
            ? "the way to the sidecar: byte for byte, with the client's address and the queue id"
            : "the sidecar stands before who signs what you send",
      }),
    ),
    ...gone.map(
      (key): SiteChange => ({
        server: "postfix",
        file: facts.masterFile,
        commands: [`postconf -MX ${key}`],
        lines: [],
        why: "",
      }),
    ),
  ];
}

function tableChanges(facts: PostfixFacts, before: PostfixFiles, after: PostfixFiles): readonly SiteChange[] {
  const linesOf = (text: string | undefined) => [
    ...routesOf(text ?? "").map(({ key, value }) => `${key} ${value}`),
    ...observedOf(text ?? "").map(key => `#observe ${key}`),
  ];
  const [was, now] = [linesOf(before.table), linesOf(after.table)];
  const lines = now.filter(line => !was.includes(line));
  const gone = was.filter(line => !now.includes(line));
  if (lines.length + gone.length === 0) return [];
  const file = facts.tableFile;
  const pattern = (line: string) =>
    line.replace(/[\\.*[\]^$/{}()|?+]/gu, "\\$&").replace(" ", "[[:space:]]+");
  return [
    {
      server: "postfix",
      file,
      commands: [
        ...gone.map(line => `sed -i -E ${quoted(`/^${pattern(line)}$/d`)} ${file}`),
        ...lines.map(line => `printf '%s\\n' ${quoted(line)} >>${file}`),
      ],
      lines,
      why: "who goes to the sidecar",
    },
  ];
}
