/**
 * Step 3 of the message path: the payload of one plugin call, built from its grants. Nothing is built first and cut away
 * after, so a field that no line below adds cannot be in the bytes. Key order is fixed: the bytes are comparable.
 */
import {
  type BodyPart,
  type BodyPreview,
  HOOK_API,
  type HookPayload,
  MAX_PAYLOAD_BYTES,
  type ProvenanceEntry,
} from "../wire/hook-payload.ts";
import type { CallId } from "./ids.ts";
import type { AttachmentFacts } from "./permissions-attachments.ts";
import { fitted, type LargeParts } from "./permissions-fit.ts";
import type { Grants } from "./permissions-grants.ts";
import type { HeaderView } from "./permissions-headers.ts";
import { jsonBytes } from "./permissions-json.ts";
import type { HookPoint, MessageFacts } from "./ports/hooks.ts";

/** The call itself: all of it is sent, whatever the grants. */
export interface CallFacts {
  readonly callId: CallId;
  readonly point: HookPoint;
  readonly mode: "shadow" | "enforce";
  /** From 1. */
  readonly attempt: number;
  /** Time the plugin has, in milliseconds. */
  readonly deadlineMs: number;
  readonly pluginId: string;
  readonly pluginVersion: string;
  /** The plugin's own settings, defaults filled in. */
  readonly settings: Readonly<Record<string, string | number | boolean>>;
}

/** The message as hooks before this one left it. */
export interface MessageState {
  /** Recipients in scope of this call. */
  readonly recipients: readonly string[];
  /** Whose mail it is; undefined when the call is for several accounts. */
  readonly account: string | undefined;
  readonly tags: readonly string[];
  readonly provenance: readonly ProvenanceEntry[];
}

/** Where the parts of a message come from; asked only where a grant says so. */
export interface MessageView {
  readonly facts: MessageFacts;
  readonly headers: HeaderView;
  /** Present iff `read_body` ≥ preview is granted. */
  readonly preview: { readonly body: BodyPreview | null; readonly mimeTruncated: boolean } | undefined;
  /** Present iff `read_body` = full is granted. */
  readonly texts: ReadParts<BodyPart> | undefined;
  /** Present iff `read_attachments` ≥ metadata is granted, and no more in them than the grant needs. */
  readonly attachments: ReadParts<AttachmentFacts> | undefined;
}

export interface ReadParts<T> {
  readonly list: readonly T[];
  /** The message has more parts than payloads go through. */
  readonly mimeTruncated: boolean;
}

/**
 * Build the payload of one call.
 * @returns an object of the shape of `hook-1.schema.json`, keys in the contract's order
 */
export function project(
  view: MessageView,
  state: MessageState,
  grants: Grants,
  call: CallFacts,
): HookPayload {
  const { facts } = view;
  const envelope: HookPayload = {
    api: HOOK_API,
    call_id: call.callId,
    hook: call.point,
    mode: call.mode,
    attempt: call.attempt,
    deadline_ms: Math.max(0, Math.floor(call.deadlineMs)),
    plugin: { id: call.pluginId, version: call.pluginVersion },
    received_at: facts.receivedAt.toISOString(),
    size_bytes: facts.sizeBytes,
    settings: { ...call.settings },
  };
  const small = Object.assign(
    envelope,
    grants.read_headers === false ? undefined : headerParts(view, state, grants.read_headers, call.point),
    grants.read_body === "none" ? undefined : { body_preview: view.preview?.body ?? null },
  );
  return Object.assign(small, largeParts(view, grants, small), contentMark(view, grants));
}

/** Keys and punctuation around the large parts. */
const MARGIN_BYTES = 256;

function largeParts(view: MessageView, grants: Grants, small: HookPayload): Partial<HookPayload> | undefined {
  const large: LargeParts = {
    ...(grants.read_body === "full" ? { body: view.texts?.list ?? [] } : {}),
    ...(grants.read_attachments === "none" ? {} : { attachments: view.attachments?.list ?? [] }),
  };
  if (large.body === undefined && large.attachments === undefined) return undefined;
  return fitted(MAX_PAYLOAD_BYTES - jsonBytes(small) - MARGIN_BYTES, large);
}

function contentMark(view: MessageView, grants: Grants): Partial<HookPayload> | undefined {
  if (grants.read_body === "none" && grants.read_attachments === "none") return undefined;
  const read = [view.preview, view.texts, view.attachments];
  return { mime_truncated: read.some(parts => parts?.mimeTruncated) };
}

function headerParts(
  view: MessageView,
  state: MessageState,
  allowed: true | ReadonlySet<string>,
  point: HookPoint,
): Partial<HookPayload> {
  const { facts } = view;
  const { client } = facts;
  const { fields, truncated } = view.headers.select(allowed);
  return {
    provenance: state.provenance.map(entry => ({ ...entry })),
    headers: [...fields],
    headers_truncated: truncated,
    envelope: {
      mail_from: facts.mailFrom,
      rcpt_to: [...state.recipients],
      client_ip: client.address ?? null,
      client_name: client.name ?? null,
      helo: client.helo ?? null,
      tls: facts.tls ?? null,
      // Who submitted is a sender's fact: receivers' hooks never see it.
      auth_user: point === "pre_send" ? (facts.authUser ?? null) : null,
      queue_id: facts.queueId === "" ? null : facts.queueId,
    },
    auth: facts.senderAuth ?? { spf: UNCHECKED, dkim: UNCHECKED, dmarc: UNCHECKED, arc: UNCHECKED },
    context: {
      direction: facts.direction,
      stage: facts.stage,
      tags: [...state.tags],
      thread_id: facts.threadKey ?? null,
      account: state.account ?? null,
    },
  };
}

/** Only our own checks count; what the message claims about itself stays among its headers. */
const UNCHECKED = { result: "none", detail: null } as const;

/** Names of what a payload carries beyond the envelope of every call, for the timeline and the ledger. */
export function sentFields(payload: HookPayload): readonly string[] {
  return Object.keys(payload).filter(name => !ALWAYS_SENT.has(name));
}

const ALWAYS_SENT: ReadonlySet<string> = new Set([
  "api",
  "call_id",
  "hook",
  "mode",
  "attempt",
  "deadline_ms",
  "plugin",
  "received_at",
  "size_bytes",
  "settings",
]);
