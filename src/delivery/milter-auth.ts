/**
 * Authentication of one sender at the milter (message path, steps 2 and 5): mail from outside is checked before its hooks, ours is the
 * topmost Authentication-Results field from then on, and fields that claim to be ours are gone.
 *
 * Only recipients of ours beyond `observe` have the message edited; where all of them are in `observe` the result is recorded.
 *
 * A field that claims our name is removed whatever signs it: nobody may believe it. Ours is left out where it would break a signature
 * that forbids further fields of the name (`edits.signed_mail`).
 *
 * Source: mail-path.md §5; RFC 8601 §5
 */
import type { Deadline } from "../core/deadline.ts";
import type { KnownDirectory } from "../core/ports/directory.ts";
import type { MilterEdit, MilterEnvelope } from "../core/ports/milter.ts";
import type { AuthContent, AuthFacts, AuthOutcome, SenderAuth } from "../core/ports/sender-auth.ts";
import type { TimelineEvent } from "../core/ports/timeline.ts";
import { brokenOnTop, signaturesOf } from "../core/signed-edits.ts";
import type { EditRules } from "./message-edits.ts";
import type { ContentFacts } from "./milter-content.ts";
import { AUTH_FIELD, AuthFields } from "./sender-auth-header.ts";
import { fieldDigest } from "./trace-field.ts";

/** What comes of it where the message may be edited. */
export interface AuthEdits {
  readonly edits: readonly MilterEdit[];
  /** For the trace field; undefined: the field was not added. */
  readonly digest: string | undefined;
}

export const NO_AUTH_EDITS: AuthEdits = { edits: [], digest: undefined };

export class MilterAuth {
  /** Mail that is sent is not checked. */
  readonly isOn: boolean;
  readonly #auth: SenderAuth;
  readonly #envelope: MilterEnvelope;
  readonly #fields: AuthFields;

  constructor(auth: SenderAuth, envelope: MilterEnvelope) {
    this.isOn = !auth.isOff && envelope.direction === "inbound" && envelope.content !== "nothing";
    this.#auth = auth;
    this.#envelope = envelope;
    this.#fields = new AuthFields(value => auth.isOurs(value));
  }

  get readsBody(): boolean {
    return this.isOn && this.#auth.readsBody;
  }

  /** As the milter gets it. */
  write(chunk: Uint8Array): void {
    if (this.isOn) this.#fields.write(chunk);
  }

  /** @param content  of the message, all of it where the checks read it. Never rejects. */
  async check(
    { header, content }: Pick<ContentFacts, "header" | "content">,
    deadline: Deadline,
  ): Promise<AuthOutcome | undefined> {
    if (!this.isOn) return undefined;
    const { client, mailFrom } = this.#envelope;
    // Without a header nothing was kept: what it then reads fails.
    const isWhole = this.readsBody || header.length === 0;
    const seen: AuthContent = isWhole ? content : headerOnly(header);
    return this.#auth.check({ client, mailFrom: mailFrom.raw, content: seen }, deadline);
  }

  edits(
    outcome: AuthOutcome | undefined,
    header: Uint8Array,
    signedMail: ReturnType<EditRules["signedMail"]>,
  ): AuthEdits {
    if (outcome === undefined) return NO_AUTH_EDITS;
    const { edits: can } = this.#envelope;
    const removed = can.has("change_header")
      ? this.#fields.ours.map(
          index => ({ kind: "change_header", index, name: AUTH_FIELD, value: "" }) as const,
        )
      : [];
    const isSafe =
      signedMail === "allow" ||
      brokenOnTop(signaturesOf(header), AUTH_FIELD, this.#fields.count).length === 0;
    if (!can.has("insert_header") || !isSafe) return { edits: removed, digest: undefined };
    const { header: value } = outcome;
    const added = { kind: "insert_header", index: 0, name: AUTH_FIELD, value } as const;
    return { edits: [...removed, added], digest: fieldDigest(value) };
  }
}

/** Some recipient is in a domain of ours, in whatever stage. @throws {MairustError} `store_unavailable` */
export async function isToUs(directory: KnownDirectory, { recipients }: MilterEnvelope): Promise<boolean> {
  for (const name of new Set(recipients.map(({ address }) => address.domain))) {
    if ((await directory.findDomain(name)) !== undefined) return true;
  }
  return false;
}

export function authenticatedEvent(facts: AuthFacts, at: Date): TimelineEvent {
  return { at, kind: "authenticated", data: { ...facts } };
}

function headerOnly(header: Uint8Array): AuthContent {
  return {
    sizeBytes: header.length,
    async *read() {
      yield header;
    },
  };
}
