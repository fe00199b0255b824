/** What commands ask of the servers beside us (`wire/site-calls.ts`), over the files and programs of this host. */
import { join } from "node:path";
import { domainToASCII } from "node:url";
import { MairustError } from "../core/errors.ts";
import { packageRoot } from "../platform/package-root.ts";
import type { Config } from "../wire/config/schema.ts";
import type {
  SiteEngines,
  SiteFinding,
  SitePlaces,
  SitePlan,
  SiteState,
  SiteTarget,
} from "../wire/site-calls.ts";
import { applyPlan } from "./apply.ts";
import { type CheckTools, inspectSite } from "./checks/inspect.ts";
import {
  type DovecotInput,
  planDovecot,
  planDovecotUndo,
  SHIPPED,
  scopesIn,
  stateFor,
} from "./dovecot-plan.ts";
import { type DovecotFacts, readDovecot } from "./dovecot-read.ts";
import { readText } from "./files.ts";
import { type PartPlan, planPostfix, planPostfixUndo } from "./postfix-plan.ts";
import { type PostfixFacts, readPostfix } from "./postfix-read.ts";
import { readThere } from "./read-there.ts";
import { forgetMarked, markSeen } from "./seen.ts";
import { observedOf, routeFor, scopesOf } from "./transport-table.ts";

const NOTHING: PartPlan = { changes: [], undo: [], obstacles: [], files: [] };

/** @param tools  what only the composition root can ask: the database */
export function siteEngines(tools: CheckTools): SiteEngines {
  const planUndo: SiteEngines["planUndo"] = async (config, places, asked) => {
    const target = { ...asked, scope: scopeOf(asked.scope) };
    const { postfix, dovecot } = await readBoth(config, places);
    const ofPostfix = postfix === undefined ? NOTHING : planPostfixUndo(postfix, config, target.scope);
    const ofDovecot = dovecot === undefined ? NOTHING : planDovecotUndo(dovecot, target.scope);
    return joined(target, [ofPostfix, ofDovecot], []);
  };
  return {
    inspect: async (config, places, service) => {
      const { postfix, dovecot } = await readBoth(config, places);
      const report = await inspectSite(
        { config, postfix, dovecot: dovecot?.facts, secret: dovecot?.secret, service },
        tools,
      );
      return { ...report, targets: statesOf(postfix, dovecot?.facts) };
    },
    plan: async (config, places, asked) => {
      const target = { ...asked, scope: scopeOf(asked.scope) };
      const { postfix, dovecot } = await readBoth(config, places);
      const ofPostfix = postfix === undefined ? NOTHING : planPostfix(postfix, config, target);
      const ofDovecot = dovecot === undefined ? NOTHING : planDovecot(dovecot, target);
      const missing = obstaclesOf(target, postfix, dovecot?.facts);
      // Up: users find their mail before it comes here. Down: no more comes here before they leave.
      const parts = target.stage === "store" ? [ofDovecot, ofPostfix] : [ofPostfix, ofDovecot];
      return joined(target, parts, missing);
    },
    planUndo,
    apply: (_config, places, plan, backupDir, quietly) => applyPlan(places, plan, backupDir, quietly),
    async readFinder(places) {
      const facts = await readDovecot(places.dovecotConfig);
      return facts === undefined ? undefined : account => readThere(facts, account);
    },
    async seenMarker(places) {
      const facts = await readDovecot(places.dovecotConfig);
      if (facts === undefined) return undefined;
      return {
        mark: account => markSeen(facts, account),
        forget: account => forgetMarked(facts, account),
      };
    },
  };
}

function joined(target: SiteTarget, parts: readonly PartPlan[], missing: readonly SiteFinding[]): SitePlan {
  return {
    target,
    changes: parts.flatMap(part => part.changes),
    undo: [...parts].reverse().flatMap(part => part.undo),
    obstacles: [...missing, ...parts.flatMap(part => part.obstacles)],
    files: parts.flatMap(part => part.files),
  };
}

/** Lower case, the domain as A-labels. @throws {MairustError} `invalid_argument` */
function scopeOf(text: string): string {
  const at = text.lastIndexOf("@");
  const domain = domainToASCII(text.slice(at + 1)).toLowerCase();
  const local = text.slice(0, Math.max(at, 0)).toLowerCase();
  const isDomain = /^(?:[a-z0-9_](?:[a-z0-9_-]*[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/u.test(domain);
  // It becomes a line of a table and the name of a file.
  const isLocal = at < 0 || /^[^\s/:"'\\\p{Cc}]+$/u.test(local);
  if (!isDomain || !isLocal || at === 0)
    throw new MairustError("invalid_argument", `Cannot set up "${text}": it is no domain and no address`, {
      publicText: "it is no domain and no address",
    });
  return at < 0 ? domain : `${local}@${domain}`;
}

async function readBoth(
  config: Config,
  places: SitePlaces,
): Promise<{ readonly postfix: PostfixFacts | undefined; readonly dovecot: DovecotInput | undefined }> {
  const [postfix, facts] = await Promise.all([
    readPostfix(places.postfixDir),
    readDovecot(places.dovecotConfig),
  ]);
  if (facts === undefined) return { postfix, dovecot: undefined };
  const shipped = new Map<string, string>();
  for (const name of [...SHIPPED, "account-mirror.json", "account-store.json"])
    shipped.set(name, (await readText(join(packageRoot(), "dovecot", name))) ?? "");
  return { postfix, dovecot: { facts, config, shipped, secret: await readSecretText(config) } };
}

/** As Dovecot has to know it. Undefined: missing, or not for this user. */
async function readSecretText(config: Config): Promise<string | undefined> {
  try {
    return (await readText(config.imap.master_password_file))?.replace(/\r?\n$/u, "");
  } catch {
    return undefined;
  }
}

function obstaclesOf(
  { stage, showCopy = false }: SiteTarget,
  postfix: PostfixFacts | undefined,
  dovecot: DovecotFacts | undefined,
): readonly SiteFinding[] {
  const missing = (code: string, server: string, fix: string): SiteFinding => ({
    code,
    severity: "error",
    what: `${server} is not installed on this host`,
    cause: "setup changes the files of the servers beside it",
    fix,
  });
  return [
    ...(postfix === undefined
      ? [missing("postfix_missing", "Postfix", "run it where Postfix is, or set it up by postfix/README.md")]
      : []),
    ...(dovecot === undefined && (stage === "store" || (stage === "mirror" && showCopy))
      ? [missing("dovecot_missing", "Dovecot", "run it where Dovecot is, or set it up by dovecot/README.md")]
      : []),
  ];
}

function statesOf(
  postfix: PostfixFacts | undefined,
  dovecot: DovecotFacts | undefined,
): readonly SiteState[] {
  const table = postfix?.files.table ?? "";
  const scopes = new Set([...scopesOf(table), ...(dovecot === undefined ? [] : scopesIn(dovecot))]);
  return [...scopes].sort().map(scope => ({
    scope,
    postfix:
      routeFor(table, scope) !== undefined ? "route" : observedOf(table).includes(scope) ? "milter" : "none",
    dovecot: dovecot === undefined ? "own" : stateFor(dovecot, scope),
  }));
}
