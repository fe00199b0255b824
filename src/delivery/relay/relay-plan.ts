/**
 * What goes to the next hop for each account, and which copy of it stays here (message path, step 7). Nothing is sent or stored here.
 *
 * Fields that hooks want are added as far as they break no signature (`edits.signed_mail`); the next hop's mailbox knows neither tags
 * nor flags nor metadata, so in stage `hooks` these are told as not done.
 */
import type { Deadline } from "../../core/deadline.ts";
import { NO_ACCOUNT } from "../../core/ports/directory.ts";
import type { RelayCopy } from "../../core/ports/relay-records.ts";
import type { TimelineEvent } from "../../core/ports/timeline.ts";
import {
  type ArrivedMessage,
  type DecidedDelivery,
  type DeliveryFacts,
  deliveryTarget,
  isObserved,
} from "../account-delivery.ts";
import { type EditRules, safeEdits } from "../message-edits.ts";
import { addedTop } from "./relayed-bytes.ts";

export interface RelayPlanOptions {
  readonly edits: EditRules;
  /** Of the folder field: what the operator's Sieve rule asks for. */
  readonly folderSecret: string;
  readonly now: () => Date;
}

export interface RelayMember {
  readonly decided: DecidedDelivery;
  readonly server: string;
  /** Put on top; undefined: nothing is changed. */
  readonly top: string | undefined;
  readonly copy: RelayCopy | undefined;
  /** Of what could not be done. */
  readonly events: readonly TimelineEvent[];
}

export interface RelayGroup {
  readonly server: string;
  readonly top: string | undefined;
  readonly members: readonly RelayMember[];
}

type Facts = Omit<DeliveryFacts, "blob">;

/** @throws {MairustError} `blob_missing`, `blob_damaged`: a long header could not be read */
export async function planRelay(
  options: RelayPlanOptions,
  facts: Facts,
  accepted: readonly DecidedDelivery[],
  deadline: Deadline,
): Promise<readonly RelayMember[]> {
  const members = await Promise.all(accepted.map(one => member(options, facts, one, deadline)));
  // One account by ways of two next hops: one copy.
  const copied = new Set<string>();
  return members.map(one => {
    if (one.copy === undefined) return one;
    const isFirst = !copied.has(one.copy.address);
    copied.add(one.copy.address);
    return isFirst ? one : { ...one, copy: undefined };
  });
}

async function member(
  options: RelayPlanOptions,
  facts: Facts,
  decided: DecidedDelivery,
  deadline: Deadline,
): Promise<RelayMember> {
  const { delivery, received, decision } = decided;
  const server = delivery.domain.relayLmtp ?? "";
  if (isObserved(delivery)) return { decided, server, top: undefined, copy: undefined, events: [] };
  const wanted = [...(received?.decision.headers ?? []), ...(decision?.headers ?? [])];
  const { headers, report } = await safeEdits(
    edited(facts),
    { headers: wanted, appendText: [] },
    options.edits,
    deadline,
  );
  const { envelope, message, hostname } = facts;
  const folder = decision?.folder ?? received?.decision.folder;
  const { folderSecret } = options;
  const top = addedTop({ envelope, hostname, message, headers, folder, folderSecret });
  const skipped = [...report.skipped, ...notApplicable(decided)];
  return {
    decided,
    server,
    top,
    copy: copyOf(facts, decided, headers),
    events: skipped.length === 0 ? [] : [notDone(delivery.account.address, skipped, options.now())],
  };
}

function edited({ message }: ArrivedMessage) {
  return { header: message.structure.headerHead, structure: message.packed, content: message.staged };
}

function copyOf(facts: Facts, decided: DecidedDelivery, headers: readonly (readonly [string, string])[]) {
  const { account, domain, stage } = decided.delivery;
  const isMirror = stage === "mirror" && account.id !== NO_ACCOUNT;
  if (!isMirror && !facts.hasFollowUp) return undefined;
  const target = deliveryTarget(facts, decided, headers);
  const kind = isMirror ? "mirror" : "hooks";
  return { address: account.address, domain: domain.name, kind, target } satisfies RelayCopy;
}

/** What hooks wanted and did not get, for the timeline. */
interface Skipped {
  readonly item: string;
  readonly what: string;
  readonly why: string;
}

function notApplicable({ delivery, received, decision }: DecidedDelivery): readonly Skipped[] {
  if (delivery.stage === "mirror" && delivery.account.id !== NO_ACCOUNT) return [];
  const why = "the message is relayed";
  const flags = [received?.decision, decision].flatMap(one =>
    one === undefined || (one.flags.system === 0 && one.flags.keywords.length === 0) ? [] : [one.flags],
  );
  const tags = (decision ?? received?.decision)?.tags ?? [];
  return [
    ...tags.map(what => ({ item: "tags", what, why })),
    ...flags.map(({ system, keywords }) => ({ item: "flags", what: [system, ...keywords].join(" "), why })),
  ];
}

function notDone(recipient: string, skipped: readonly Skipped[], at: Date): TimelineEvent {
  return { at, kind: "decision", recipient, data: { point: "relay", action: "deliver", not_done: skipped } };
}
