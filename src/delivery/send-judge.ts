/**
 * Asks the hooks of `pre_send` about mail that a user sends by the API (message path, step 5, without an MTA), and changes it as they
 * want: the same chain, merge and checks as at the milter, over the same facts.
 */
import { changedHeader } from "../core/append-text.ts";
import type { Deadline } from "../core/deadline.ts";
import { MairustError } from "../core/errors.ts";
import type { ResolvedRecipient } from "../core/ports/directory.ts";
import type { HookDecision, HookRunner, MessageFacts } from "../core/ports/hooks.ts";
import type { MessageStore } from "../core/ports/store.ts";
import type { TimelineEvent } from "../core/ports/timeline.ts";
import type { CarriedVerdict } from "../core/ports/verdicts.ts";
import { type Accepted, type Combined, combineOutbound } from "./combine-verdicts.ts";
import { hooksDeadline } from "./hooks-time.ts";
import { type EditRules, type SafeEdits, safeEdits } from "./message-edits.ts";
import { refusal } from "./milter-answers.ts";
import { countDropped, planBcc } from "./milter-edits.ts";
import { decisionEvent } from "./milter-events.ts";
import { headerFieldLines } from "./prefix.ts";
import type { ReceivedMessage } from "./received-message.ts";
import type { SentContent } from "./send-content.ts";

export interface JudgeParts {
  readonly hooks: HookRunner;
  readonly edits: EditRules;
  readonly recordEvents: MessageStore["recordEvents"];
  /** An address as hooks see it. */
  readonly canonical: (raw: string) => string;
  readonly now: () => Date;
}

export interface SentJudgement {
  readonly verdicts: readonly CarriedVerdict[];
  readonly combined: Combined;
  readonly events: readonly TimelineEvent[];
  /** Settles when no hook reads the message any more. */
  readonly settled: Promise<void>;
}

/** @param sender  whose mail it is */
export async function judgeSent(
  parts: JudgeParts,
  content: SentContent,
  sender: ResolvedRecipient,
  whole: Deadline,
): Promise<SentJudgement> {
  const { hooks, canonical, recordEvents } = parts;
  const nobody: SentJudgement = { verdicts: [], combined: ACCEPTED, events: [], settled: Promise.resolve() };
  if (!hooks.has("pre_send")) return nobody;
  const deadline = hooksDeadline(whole);
  try {
    const facts = factsOf(content, sender, canonical);
    const { each, events, late } = await hooks.run("pre_send", facts, deadline);
    const settled = (late ?? Promise.resolve([])).then(more => {
      if (more.length > 0) recordEvents(facts.messageId, "", more);
    });
    const verdicts = content.recipients.map(({ raw }) => ({
      ...{ recipient: raw, orcpt: "" },
      decision: decisionOf(each, canonical(raw)),
    }));
    return { verdicts, combined: combineOutbound(verdicts), events, settled };
  } finally {
    deadline.dispose();
  }
}

const ACCEPTED: Combined = {
  ...{ kind: "accept", headers: [], addBcc: [], appendText: [], carried: [], uniform: true },
};

function decisionOf(each: ReadonlyMap<string, HookDecision>, address: string): HookDecision {
  const decision = each.get(address);
  if (decision === undefined)
    throw new MairustError("internal", `Cannot decide about "${address}": the chain said nothing of it`);
  return decision;
}

function factsOf(
  { message, from, recipients }: SentContent,
  { account, stage }: ResolvedRecipient,
  canonical: JudgeParts["canonical"],
): MessageFacts {
  const addresses = [...new Set(recipients.map(({ raw }) => canonical(raw)))];
  return {
    messageId: message.id,
    receivedAt: message.receivedAt,
    sizeBytes: message.staged.sizeBytes,
    queueId: "",
    direction: "outbound",
    stage,
    mailFrom: from.raw,
    recipients: addresses,
    observed: new Set(stage === "observe" ? addresses : []),
    account: undefined,
    client: {},
    authUser: account.address,
    tls: undefined,
    header: message.structure.headerHead,
    threadKey: message.structure.threadKey,
    tags: [],
    structure: message.packed,
    content: message.staged,
    everyone: true,
  };
}

/** @returns undefined: it may go; else what its sender is told */
export function whyRefused({ combined }: SentJudgement, id: string): MairustError | undefined {
  if (combined.kind !== "refuse") return undefined;
  const { reply, by, action } = combined.decision;
  const said = reply === undefined ? action : `${reply.code} ${reply.enhanced} ${reply.text}`;
  const text = `${said} (hook "${by?.name ?? "unknown"}", id=${id})`;
  return new MairustError(action === "reject" ? "not_permitted" : "plugin_failed", `Cannot send: ${text}`, {
    publicText: text,
    retry: action === "reject" ? "never" : "later",
  });
}

/** For the timeline of a message that does not go. */
export function refusedEvent({ combined }: SentJudgement, at: Date): readonly TimelineEvent[] {
  if (combined.kind !== "refuse") return [];
  return [decisionEvent({ direction: "outbound" }, combined, refusal(combined.decision), at)];
}

export interface EditedMail {
  /** What it is made of; undefined: nothing changed. */
  readonly bytes: AsyncIterable<Uint8Array> | undefined;
  /** To be added. */
  readonly bcc: readonly string[];
  readonly events: readonly TimelineEvent[];
}

/** @throws {MairustError} `deadline`, `too_many`: nothing was changed */
export async function editSent(
  { edits, now }: JudgeParts,
  content: SentContent,
  { verdicts }: SentJudgement,
  accepted: Accepted & { readonly kind: "accept" },
  deadline: Deadline,
): Promise<EditedMail> {
  if (verdicts.length === 0) return { bytes: undefined, bcc: [], events: [] };
  const { message, recipients } = content;
  const { structure, packed, staged } = message;
  const facts = { header: structure.headerHead, structure: packed, content: staged };
  const safe = await safeEdits(facts, accepted, edits, deadline);
  const plan = planBcc(
    accepted.addBcc,
    recipients.map(address => ({ address })),
  );
  const report = { ...safe.report, bcc: plan.add.length, skipped: [...safe.report.skipped, ...plan.skipped] };
  const decisions = verdicts.map(({ decision }) => decision);
  countDropped(report, decisions, edits.denied);
  const event = decisionEvent(
    { direction: "outbound" },
    accepted,
    { kind: "accept", edits: [] },
    now(),
    report,
  );
  const isSame = safe.headers.length === 0 && safe.fields.length === 0 && safe.body === undefined;
  return { bytes: isSame ? undefined : editedBytes(message, safe), bcc: plan.add, events: [event] };
}

async function* editedBytes(
  { staged, structure }: ReceivedMessage,
  { headers, fields, body }: SafeEdits,
): AsyncGenerator<Uint8Array> {
  yield Buffer.from(headerFieldLines(headers), "utf8");
  const end = structure.headerSizeBytes;
  const header: Uint8Array[] = [];
  for await (const chunk of staged.read({ start: 0, end })) header.push(chunk);
  yield changedHeader(Buffer.concat(header), fields);
  if (body !== undefined) yield* body;
  else yield* staged.read({ start: end, end: staged.sizeBytes });
}
