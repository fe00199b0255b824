/**
 * What may be changed of a message, of all that hooks want changed (message path, step 5): header fields and appended text, without
 * those that would break a signature (`edits.signed_mail`). All of it is known before anything is sent; nothing is sent here.
 *
 * What fails how: a message that is too large, or cannot take the text, keeps its body, and that is told; a body that is not here, or no
 * room for it in time, is an error, so that the message waits.
 *
 * Source: mail-path.md §1 (edits), §3 (Signature-safe edits)
 */
import {
  type AppendedText,
  type FieldChange,
  MAX_EDITED_MESSAGE_BYTES,
  planAppend,
} from "../core/append-text.ts";
import type { Deadline } from "../core/deadline.ts";
import { unpackStructure } from "../core/mime/packed.ts";
import type { MessageFacts } from "../core/ports/hooks.ts";
import {
  brokenSignatures,
  type HeaderAndBodyEdit,
  type Signature,
  signaturesOf,
} from "../core/signed-edits.ts";
import type { Fields } from "./combine-verdicts.ts";

/** Memory of all messages that are edited at a time; who finds no room waits. */
export const EDIT_ROOM_BYTES = 4 * MAX_EDITED_MESSAGE_BYTES;
/** Longest header that is looked through for signatures; a longer one counts as signed. */
const MAX_HEADER_BYTES = 1024 * 1024;

export type SignedMail = "refuse" | "local_only" | "allow";

export interface EditRules {
  /** `edits.signed_mail` now in effect. */
  readonly signedMail: () => SignedMail;
  /** @returns gives the room back */
  readonly acquire: (bytes: number, deadline: Deadline) => Promise<() => void>;
  /** Something that a plugin wanted was dropped. */
  readonly denied: (plugin: string, item: "headers" | "append_text" | "recipients") => void;
}

export type EditedMessage = Pick<MessageFacts, "header" | "structure" | "content">;

export interface WantedEdits {
  readonly headers: Fields;
  readonly appendText: readonly AppendedText[];
}

/** For the timeline. */
export interface EditReport {
  /** Which texts were appended. */
  readonly appended: readonly string[];
  readonly skipped: ReadonlyArray<{
    readonly item: "headers" | "append_text" | "recipients";
    readonly what: string;
    readonly why: string;
  }>;
}

export interface SafeEdits {
  readonly headers: Fields;
  /** Of the message's own header, because of the appended text. */
  readonly fields: readonly FieldChange[];
  /** Undefined: the body stays. */
  readonly body: readonly Uint8Array[] | undefined;
  readonly report: EditReport;
}

/** @throws {MairustError} `deadline`, `too_many`; `blob_missing`, `blob_damaged`: the message's bytes are not here */
export async function safeEdits(
  message: EditedMessage,
  wanted: WantedEdits,
  rules: EditRules,
  deadline: Deadline,
): Promise<SafeEdits> {
  if (wanted.headers.length === 0 && wanted.appendText.length === 0) return NO_EDITS;
  const check = await signatureCheck(message, rules.signedMail());
  const fields = wanted.headers.map(field => ({
    field,
    why: isOwn(field[0]) ? undefined : check.field(field[0]),
  }));
  const refused = fields.flatMap(({ field: [what], why }) =>
    why === undefined ? [] : [{ item: "headers", what, why } as const],
  );
  const text = await appended(message, wanted.appendText, check, rules, deadline);
  return {
    headers: fields.flatMap(({ field, why }) => (why === undefined ? [field] : [])),
    fields: text.fields,
    body: text.body,
    report: { appended: text.done, skipped: [...refused, ...text.skipped] },
  };
}

const NO_EDITS: SafeEdits = {
  headers: [],
  fields: [],
  body: undefined,
  report: { appended: [], skipped: [] },
};

/** Our own marks: a sender who signs their names must not keep them away. */
function isOwn(name: string): boolean {
  return /^x-mairust-/i.test(name);
}

interface SignatureCheck {
  /** Why this field may not be added; undefined: it may. */
  field(name: string): string | undefined;
  edit(edit: HeaderAndBodyEdit): string | undefined;
}

async function signatureCheck(message: EditedMessage, policy: SignedMail): Promise<SignatureCheck> {
  if (policy === "allow") return { field: () => undefined, edit: () => undefined };
  const header = await wholeHeader(message);
  if (header === undefined) {
    const why = `it may be signed, and its header is too long to tell (edits.signed_mail is ${policy})`;
    return { field: () => why, edit: () => why };
  }
  const signatures = signaturesOf(header);
  const edit = (one: HeaderAndBodyEdit) => whyNot(brokenSignatures(signatures, one), policy);
  return { field: name => edit({ fields: [name], bodyKeptBytes: undefined }), edit };
}

/** At the milter nothing is local: the message goes on to others. */
function whyNot(broken: readonly Signature[], policy: SignedMail): string | undefined {
  const [first] = broken;
  if (first === undefined) return undefined;
  const more = broken.length > 1 ? ` and ${broken.length - 1} more` : "";
  return `it would break the ${first.field} of ${first.domain || "nobody"}${more} (edits.signed_mail is ${policy})`;
}

async function wholeHeader({ header, structure, content }: EditedMessage): Promise<Uint8Array | undefined> {
  const end = unpackStructure(structure).parts[0]?.bodyStart ?? 0;
  if (header.length >= end) return header;
  if (end > MAX_HEADER_BYTES || content.digest === "") return undefined;
  return readAll(content.read({ start: 0, end }));
}

async function readAll(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return Buffer.concat(all);
}

interface Appended {
  readonly fields: readonly FieldChange[];
  readonly body: readonly Uint8Array[] | undefined;
  readonly done: readonly string[];
  readonly skipped: EditReport["skipped"];
}

async function appended(
  { content }: EditedMessage,
  texts: readonly AppendedText[],
  check: SignatureCheck,
  rules: EditRules,
  deadline: Deadline,
): Promise<Appended> {
  const none = (why: string): Appended => ({ ...NOTHING_APPENDED, skipped: [skippedText("all", why)] });
  if (texts.length === 0) return NOTHING_APPENDED;
  if (content.sizeBytes > MAX_EDITED_MESSAGE_BYTES)
    return none(`the message has more than ${MAX_EDITED_MESSAGE_BYTES} octets`);
  // The message, and what becomes of it.
  const release = await rules.acquire(2 * content.sizeBytes, deadline);
  try {
    const plan = planAppend(await readAll(content.read()), texts);
    const skipped = plan.skipped.map(({ text, why }) => skippedText(text, why));
    if (plan.body === undefined) return { ...NOTHING_APPENDED, skipped };
    const names = plan.fields.map(({ name }) => name);
    const why = check.edit({ fields: names, bodyKeptBytes: plan.keptBytes });
    if (why !== undefined) return none(why);
    return { fields: plan.fields, body: plan.body, done: plan.done, skipped };
  } finally {
    release();
  }
}

const NOTHING_APPENDED: Appended = { fields: [], body: undefined, done: [], skipped: [] };

function skippedText(what: string, why: string) {
  return { item: "append_text", what, why } as const;
}
