/**
 * Use cases on stages: which one a domain or an account is in, and setting it once nothing speaks against it. This is the sidecar's half
 * of a step, live from the commit on: mail whose RCPT was answered before keeps its stage, every later RCPT has the new one. The other
 * half, Postfix and Dovecot, and the order of both are the command's (`cli/stage-steps.ts`).
 *
 * What must hold, each with its code; what `force` or `without_verify` waives is named in the answer, the log and the audit log:
 *
 * | code | when | waived by |
 * |---|---|---|
 * | `next_hop_missing` | a stage before `store` has nowhere to relay to | `force`, for `observe` only: without routes no mail comes |
 * | `next_hop_silent` | the next hop does not greet | `force`: mail waits in Postfix's queue meanwhile |
 * | `not_mirrored` | to `store` from another stage than `mirror`: what came since the import is not here | `without_verify` |
 * | `verify_missing`, `verify_stale`, `verify_different` | to `store`: an account is not the same there and here | `without_verify` |
 * | `delta_missing`, `delta_stale`, `delta_different` | down from `store`: what is only here was not carried back | `without_verify` |
 */
import { MairustError, messageOf, PreconditionFailed, StaleVersion } from "../core/errors.ts";
import type { Stage } from "../core/ports/directory.ts";
import type { StageChange, StageRecord, VerifyGap } from "../core/ports/stages.ts";
import { deadlineAfter } from "../platform/deadline.ts";
import { type Actor, audited } from "./audit.ts";
import { fileKeyOf } from "./domain-file.ts";
import { checkNextHop } from "./domains.ts";
import { type PageAsked, type PageGiven, pageGiven, pageRequest } from "./paging.ts";
import type { ServicePorts } from "./ports.ts";

/** How old a comparison may be that allows the step to `store`: time for all accounts of a domain, not for a day of mail. */
export const VERIFY_FRESH_S = 14_400;
/** How old one may be that allows the step down from `store`; what comes after it is carried back after the step. */
export const CARRIED_FRESH_S = 3_600;
/** For a next hop to greet. */
const PROBE_MS = 5_000;
/** Beyond `lmtp.chain_timeout_ms`: from RCPT to the last byte of a message, and for a node that hears of the step late. */
const SETTLE_MARGIN_MS = 5_000;

export type Scope = Pick<StageRecord, "kind" | "scope">;

export interface StageView {
  readonly record: StageRecord;
  /** Of a domain that a file names: its first stage, and where that is set. */
  readonly initial: { readonly stage: string; readonly origin: string } | undefined;
  /** Where a file sets the next hop. */
  readonly relayOrigin: string | undefined;
  /** From then on no mail is under way any more that was accepted in the stage before. */
  readonly settledAt: Date;
}

export interface StageAsked extends StageChange {
  readonly withoutVerify: boolean;
  readonly force: boolean;
}

export interface StageSet {
  readonly view: StageView;
  readonly from: Stage;
  /** What speaks against it and was waived. */
  readonly waived: readonly Objection[];
}

export interface Objection {
  readonly code: string;
  readonly text: string;
}

/** Domains by name. */
export async function listStages(ports: ServicePorts, asked: PageAsked): Promise<PageGiven<StageView>> {
  const { items, nextCursor } = pageGiven(await ports.stages.list(pageRequest(asked)));
  return { items: items.map(record => viewOf(ports, record)), nextCursor };
}

/** @throws {MairustError} `unknown_domain`, `unknown_account`, `address_syntax`, `invalid_argument` */
export async function getStage(ports: ServicePorts, scope: Scope): Promise<StageView> {
  return viewOf(ports, await readRecord(ports, scope));
}

/**
 * @param version  that the caller saw
 * @throws {PreconditionFailed} something must be in order first; {StaleVersion}; {MairustError} as `getStage`, `not_permitted`: a file
 *         sets the next hop
 */
export async function setStage(
  ports: ServicePorts,
  scope: Scope,
  asked: StageAsked,
  version: number,
  options: { readonly dryRun: boolean } & Actor,
): Promise<StageSet> {
  const before = await readRecord(ports, scope);
  // Told before anything is asked of others: what they say may not be about what the caller saw.
  if (before.version !== version) throw new StaleVersion("the stage of", before.scope);
  checkAsked(ports, before, asked);
  const from = before.stage;
  const to = asked.stage ?? before.domainStage;
  const waived = await objections(ports, before, to, asked);
  if (isSame(before, asked)) return { view: viewOf(ports, before), from, waived };
  const relay = asked.relayLmtp === undefined ? {} : { relay_lmtp: asked.relayLmtp };
  const codes = waived.length === 0 ? {} : { waived: waived.map(({ code }) => code) };
  const detail = { from, to: asked.stage ?? "domain", ...relay, ...codes };
  const entry = { actor: options.who, action: "stage.set", object: before.scope, detail };
  const record = await audited(ports, entry, options, () =>
    ports.stages.set(before.scope, asked, version, options),
  );
  if (!options.dryRun) tell(ports, record, from, options.who, waived);
  return { view: viewOf(ports, record), from, waived };
}

async function readRecord(ports: ServicePorts, { kind, scope }: Scope): Promise<StageRecord> {
  if (scope.includes("@") === (kind === "account")) return ports.stages.get(scope);
  throw refused(kind === "account" ? `"${scope}" is no address` : `"${scope}" is no domain name`);
}

function viewOf(ports: ServicePorts, record: StageRecord): StageView {
  const initial = record.kind === "domain" ? fileKeyOf(ports, record.domain, "stage") : undefined;
  const relay = record.relayByFile ? fileKeyOf(ports, record.domain, "relay.lmtp") : undefined;
  const timeout = ports.system.config().find(({ key }) => key === "lmtp.chain_timeout_ms");
  return {
    record,
    initial: initial === undefined ? undefined : { stage: textOf(initial.value), origin: initial.origin },
    relayOrigin: relay?.origin,
    settledAt: new Date(record.since.getTime() + Number(timeout?.value ?? 0) + SETTLE_MARGIN_MS),
  };
}

/** A text as TOML has it. */
function textOf(value: unknown): string {
  return String(value).replace(/^"(.*)"$/u, "$1");
}

function isSame(before: StageRecord, { stage, relayLmtp }: StageChange): boolean {
  const current = before.kind === "account" ? before.own : before.stage;
  return stage === current && (relayLmtp === undefined || (relayLmtp ?? undefined) === before.relayLmtp);
}

function checkAsked(ports: ServicePorts, before: StageRecord, { stage, relayLmtp }: StageChange): void {
  if (before.kind === "domain" && stage === undefined) throw refused("a domain follows no other stage");
  if (relayLmtp === undefined) return;
  if (before.kind === "account") throw refused("the next hop is the domain's: set it there");
  if (relayLmtp !== null) checkNextHop(relayLmtp);
  if (!before.relayByFile || relayLmtp === before.relayLmtp) return;
  const where = fileKeyOf(ports, before.domain, "relay.lmtp")?.origin ?? "the configuration";
  const publicText = `relay.lmtp of "${before.domain}" is set in ${where}; change it there`;
  throw new MairustError("not_permitted", `Cannot set the next hop: ${publicText}`, { publicText });
}

function refused(publicText: string): MairustError {
  return new MairustError("invalid_argument", `Cannot set the stage: ${publicText}`, { publicText });
}

/** @returns what was waived. @throws {PreconditionFailed} what was not */
async function objections(
  ports: ServicePorts,
  before: StageRecord,
  to: Stage,
  asked: StageAsked,
): Promise<readonly Objection[]> {
  const hop = await aboutNextHop(ports, before, to, asked);
  const mail = await aboutMail(ports, before, to);
  const against = [
    ...hop.filter(({ code }) => !(asked.force && (code !== "next_hop_missing" || to === "observe"))),
    ...(asked.withoutVerify ? [] : mail),
  ];
  if (against.length > 0) throw new PreconditionFailed(`stage ${to} for ${before.scope}`, against);
  return [...hop, ...mail];
}

async function aboutNextHop(
  ports: ServicePorts,
  before: StageRecord,
  to: Stage,
  { relayLmtp }: StageChange,
): Promise<readonly Objection[]> {
  const server = relayLmtp === undefined ? before.relayLmtp : (relayLmtp ?? undefined);
  const isTouched = to !== before.stage || server !== before.relayLmtp;
  if (to === "store" || !isTouched) return [];
  if (server === undefined) {
    const text = `${before.domain} has no next hop: --relay-lmtp, or relay.lmtp in its configuration`;
    return [{ code: "next_hop_missing", text }];
  }
  const deadline = deadlineAfter(PROBE_MS);
  try {
    await ports.nextHops.probe(server, deadline);
    return [];
  } catch (error) {
    const reason =
      error instanceof MairustError && error.publicText !== "" ? error.publicText : messageOf(error);
    const text = `the next hop ${server} does not greet (${reason}); --force goes on, and mail waits in the queue until it does`;
    return [{ code: "next_hop_silent", text }];
  } finally {
    deadline.dispose();
  }
}

async function aboutMail(ports: ServicePorts, before: StageRecord, to: Stage): Promise<readonly Objection[]> {
  if ((to === "store") === (before.stage === "store")) return [];
  const isUp = to === "store";
  const since = Date.now() - (isUp ? VERIFY_FRESH_S : CARRIED_FRESH_S) * 1000;
  const notBefore = new Date(Math.max(since, before.since.getTime()));
  const gaps = await ports.stages.verifyGaps(before, { notBefore, want: isUp ? "equal" : "carried" });
  const skipped = isUp && before.stage !== "mirror" ? [notMirrored(before)] : [];
  return [...skipped, ...gaps.map(gap => objectionOf(gap, isUp))];
}

function notMirrored({ scope, stage }: StageRecord): Objection {
  const text = `${scope} is in stage ${stage}: mail that came since its import is not here; go by mirror, or say --without-verify`;
  return { code: "not_mirrored", text };
}

function objectionOf({ reason, accounts, examples }: VerifyGap, isUp: boolean): Objection {
  const who = `${examples.join(", ")}${accounts > examples.length ? ` and ${accounts - examples.length} more` : ""}`;
  const limit = isUp ? VERIFY_FRESH_S : CARRIED_FRESH_S;
  const what = {
    missing: isUp ? "never verified" : "nothing carried back yet",
    stale: `verified more than ${limit / 3600} h ago, or before the stage it is in`,
    different: isUp ? "not the same there and here" : "not everything is carried back",
  }[reason];
  const fix = isUp ? "mairust verify" : "stage set with --against carries it back";
  const text = `${what}: ${who} (${fix}, or --without-verify)`;
  return { code: `${isUp ? "verify" : "delta"}_${reason}`, text };
}

function tell(
  ports: ServicePorts,
  { scope, stage, own, relayLmtp }: StageRecord,
  from: Stage,
  by: string,
  waived: readonly Objection[],
): void {
  const fields = { scope, from, to: stage, own: own ?? "", relay: relayLmtp ?? "", by };
  if (waived.length === 0) ports.log.info("stage changed", fields);
  else ports.log.warn("stage changed", { ...fields, waived: waived.map(({ code }) => code).join(" ") });
}
