/**
 * What a plugin may answer (`answer-1.schema.json`): the published contract. `core/answer.ts` checks it by hand, because
 * the checks run for every call and because a value beyond the grant is dropped alone while a wrong type voids the whole.
 * Unknown fields are counted and ignored, so the schema leaves objects open.
 */
import { Type } from "typebox";

/** Longest answer of any transport, in bytes. */
export const MAX_ANSWER_BYTES = 1024 * 1024;

/** `allow` is an older word for `deliver`. */
export const ANSWER_ACTIONS = ["deliver", "allow", "reject", "tempfail", "hold"] as const;
/** Reply codes that a plugin may choose; never 421 or 521, which speak for the host. */
export const PERMANENT_CODES = [550, 552, 553, 554] as const;
export const TEMPORARY_CODES = [450, 451, 452] as const;

export const MAX_TAGS = 16;
export const TAG_PATTERN = "^[a-z0-9][a-z0-9_.:-]{0,63}$";
/** Tags under this prefix are set by the core alone. */
export const OWN_TAG_PREFIX = "mairust:";
export const MAX_METADATA_KEYS = 64;
export const MAX_METADATA_VALUE_BYTES = 4096;
export const METADATA_KEY_PATTERN = "^[a-z0-9_.-]{1,64}$";
export const MAX_ADDED_HEADERS = 10;
export const MAX_HEADER_VALUE_BYTES = 998;
export const HEADER_NAME_PATTERN = "^X-[A-Za-z0-9-]{1,60}$";
/** Of each kind, in bytes of UTF-8. */
export const MAX_APPEND_TEXT_BYTES = 4096;
export const MAX_ADDED_BCC = 10;
export const MAX_REASON_BYTES = 200;
/** Edits of other contracts that are never made here. */
export const UNSUPPORTED_EDITS = [
  "sender",
  "recipients.remove",
  "contents",
  "headers.change",
  "headers.remove",
] as const;

const strings = Type.Array(Type.String());
const addRemove = Type.Object({ add: Type.Optional(strings), remove: Type.Optional(strings) });

export const answerSchema = Type.Object(
  {
    call_id: Type.Optional(Type.String({ description: "of the request; a wrong one voids the answer" })),
    action: Type.Optional(Type.Enum([...ANSWER_ACTIONS], { default: "deliver" })),
    code: Type.Optional(Type.Enum([...PERMANENT_CODES, ...TEMPORARY_CODES])),
    permanent: Type.Optional(Type.Boolean({ description: "true needs a 5xx code, false a 4xx code" })),
    reason: Type.Optional(
      Type.String({ description: "reply text: printable US-ASCII, one line, at most 200 bytes" }),
    ),
    tags: Type.Optional(addRemove),
    flags: Type.Optional(addRemove),
    folder: Type.Optional(Type.String()),
    metadata: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
    headers: Type.Optional(
      Type.Object({ add: Type.Optional(Type.Array(Type.Tuple([Type.String(), Type.String()]))) }),
    ),
    append_text: Type.Optional(
      Type.Object({ plain: Type.Optional(Type.String()), html: Type.Optional(Type.String()) }),
    ),
    recipients: Type.Optional(Type.Object({ add_bcc: Type.Optional(strings) })),
    usage: Type.Optional(
      Type.Object({
        input_tokens: Type.Optional(Type.Number({ minimum: 0 })),
        output_tokens: Type.Optional(Type.Number({ minimum: 0 })),
        cost_usd: Type.Optional(Type.Number({ minimum: 0 })),
        model: Type.Optional(Type.String()),
      }),
    ),
    explanation: Type.Optional(Type.String()),
    unsupported: Type.Optional(
      Type.Array(Type.Enum([...UNSUPPORTED_EDITS]), {
        description:
          "edits that a translated answer asked for and that are never made: each counts as denied",
      }),
    ),
    defer: Type.Optional(Type.Boolean({ description: "the result comes later by callback" })),
  },
  { $id: "answer-1.schema.json", title: "MaiRust hook answer 1" },
);
