/**
 * What an administrator reads before a plugin gets its rights: one plain sentence for each, warnings, a rating of the risk, whom it is
 * from, what this host enforces, and what is otherwise than what was approved. Pure.
 *
 * Rating, 1 to 6: 1 + the greater of what it reads and what it changes + how far what it reads can get.
 *
 * | | 0 | 1 | 2 | 3 |
 * |---|---|---|---|---|
 * | reads | nothing | header fields, names of attachments | starts of text or attachments | all text or attachments |
 * | changes | nothing | tags, flags, data, header fields | folder, deferring, holding, text of sent mail | refusing, blind copies, sending |
 * | gets | nowhere | listed hosts | anywhere: unlimited, called by HTTP, or no limit that this host enforces | – |
 *
 * What the author wrote is untrusted: no controls, no marks of direction, one line, cut.
 */
import { type PluginTerms, type Widening, widenings } from "../core/plugin-terms.ts";
import type { HookPoint } from "../core/ports/hooks.ts";
import type { Verification } from "../core/ports/plugin-packages.ts";
import type { Review, ReviewLanguage, ReviewSentence, WarningName } from "../core/ports/plugin-review.ts";
import type { LimitReport } from "../core/ports/sandbox.ts";
import { cutUtf8 } from "../core/utf8-cut.ts";
import type { Manifest } from "../wire/manifest.ts";
import type { PermissionName, PermissionsInput } from "../wire/permissions.ts";
import { linesOf } from "./review-lines.ts";
import { REVIEW_TEXTS, type ReviewTexts, type SwitchName } from "./review-texts.ts";

export interface ReviewInput {
  readonly manifest: Manifest;
  readonly terms: PluginTerms;
  readonly verification: Pick<Verification, "state" | "detail">;
  /** Where calls really go: `endpoint` of the administrator before the manifest's; undefined: it runs here. */
  readonly place: string | undefined;
  /** What was agreed to before; undefined: nothing. */
  readonly approved: PluginTerms | undefined;
  /** What this host enforces of it. */
  readonly limits: readonly LimitReport[];
  readonly language: ReviewLanguage;
}

/** Longest text of an author that is shown, in bytes of UTF-8. */
const MAX_NOTE_BYTES = 500;

export function reviewOf(input: ReviewInput): Review {
  const { manifest, terms, verification, approved, limits, language } = input;
  const texts = REVIEW_TEXTS[language];
  const rating = ratingOf(terms, input.place, limits);
  const review: Omit<Review, "lines"> = {
    plugin: {
      id: manifest.id,
      name: harmless(manifest.name),
      version: manifest.version,
      author: harmless(manifest.author ?? ""),
    },
    language,
    signature: {
      state: verification.state,
      text: texts.signature[verification.state],
      detail: harmless(verification.detail),
    },
    rating,
    ratingText: texts.rating[rating - 1] ?? "",
    sentences: sentencesOf(input, texts),
    warnings: warningsOf(input).map(name => ({ name, text: texts.warnings[name] })),
    limits: limits.map(limit => ({
      ...limit,
      text: `${texts.limitNames[limit.limit]}: ${texts.enforcement[limit.enforcement]}`,
    })),
    diff:
      approved === undefined
        ? undefined
        : {
            more: widenings(terms, approved).flatMap(one => differenceOf(one, texts)),
            less: widenings(approved, terms).flatMap(one => lessOf(one, terms, texts)),
          },
  };
  return { ...review, lines: linesOf(review) };
}

/** Untrusted text as one line that says what it says, in this direction. */
export function harmless(text: string): string {
  const line = text
    .normalize("NFC")
    .replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, " ")
    .replace(/[\p{Cf}\p{Co}\p{Cs}]/gu, "")
    .trim();
  const cut = cutUtf8(line, MAX_NOTE_BYTES);
  return cut === line ? line : `${cut}…`;
}

function sentencesOf({ manifest, terms, place }: ReviewInput, texts: ReviewTexts): readonly ReviewSentence[] {
  const notes: Readonly<Record<string, unknown>> = manifest.permission_notes ?? {};
  const noteOf = (name: string) => (typeof notes[name] === "string" ? harmless(notes[name]) : undefined);
  const rights = rightsOf(terms.permissions, texts);
  const other = (name: string, text: string): ReviewSentence => ({ name, text, note: undefined });
  const { limits, network, caps, points, policies } = terms;
  return [
    ...points.flatMap(point => [
      other(`point.${point}`, texts.points[point]),
      ...scopeSentences(terms, point, texts),
    ]),
    ...(rights.length === 0 ? [other("nothing", texts.nothing)] : []),
    ...rights.map(([name, text]) => ({ name, text, note: noteOf(name) })),
    other("place", place === undefined ? texts.script : texts.remote(harmless(place))),
    ...(place !== undefined && terms.runsPrograms ? [other("programs", texts.programs)] : []),
    other("network", texts.network[network.mode](network.allow.join(", ") || texts.none)),
    ...(terms.runsPrograms ? [other("limits", texts.limits(limits.cpuMs, limits.memoryMb))] : []),
    ...(limits.wallTimeMs === undefined ? [] : [other("wall_time_ms", texts.wallTime(limits.wallTimeMs))]),
    ...(limits.persistentDir ? [other("persistent_dir", texts.persistentDir)] : []),
    ...Object.entries(caps).map(([name, value]) => other(`cap.${name}`, texts.cap(name, value))),
    ...points.flatMap(point => {
      const { onTimeout = "tempfail", onError = "tempfail" } = policies[point] ?? {};
      return [
        ...(onTimeout === "tempfail"
          ? []
          : [other(`${point}.on_timeout`, texts.policy(point, "on_timeout", onTimeout))]),
        ...(onError === "tempfail"
          ? []
          : [other(`${point}.on_error`, texts.policy(point, "on_error", onError))]),
      ];
    }),
  ];
}

/** One sentence for each right; what is not asked for has none. */
export function rightsOf(
  permissions: PermissionsInput,
  texts: ReviewTexts,
): ReadonlyArray<readonly [name: PermissionName, text: string]> {
  const {
    read_headers: headers,
    read_body: body,
    read_attachments: attachments,
    decide,
    ...rest
  } = permissions;
  const switches = Object.entries(rest) as ReadonlyArray<readonly [SwitchName, boolean | undefined]>;
  return [
    ...(headers === true ? [["read_headers", texts.allHeaders] as const] : []),
    ...(Array.isArray(headers) ? [["read_headers", texts.headers(headers.join(", "))] as const] : []),
    ...(body === undefined || body === "none" ? [] : [["read_body", texts.body[body]] as const]),
    ...(attachments === undefined || attachments === "none"
      ? []
      : [["read_attachments", texts.attachments[attachments]] as const]),
    ...(decide ?? []).map(what => ["decide", texts.decide[what]] as const),
    ...switches.flatMap(([name, on]) => (on === true ? [[name, texts.switches[name]] as const] : [])),
  ];
}

/** What narrows, or widens, which mail it sees at a point. */
function scopeSentences({ scopes }: PluginTerms, point: HookPoint, texts: ReviewTexts): ReviewSentence[] {
  const { recipients = "", senders = "", apart = true } = scopes?.[point] ?? {};
  const other = (name: string, text: string): ReviewSentence => ({
    name: `${point}.${name}`,
    text,
    note: undefined,
  });
  return [
    ...(recipients === "" ? [] : [other("recipients", texts.recipients(point, harmless(recipients)))]),
    ...(senders === "" ? [] : [other("senders", texts.senders(point, harmless(senders)))]),
    ...(apart ? [] : [other("together", texts.together(point))]),
  ];
}

function warningsOf({ terms, place, limits }: ReviewInput): readonly WarningName[] {
  const { permissions, network } = terms;
  const all: ReadonlyArray<readonly [WarningName, boolean]> = [
    ["read_body", permissions.read_body === "full"],
    ["read_attachments", permissions.read_attachments === "full"],
    ["reject", permissions.decide?.includes("reject") === true],
    ["add_recipients", permissions.add_recipients === true],
    ["send_mail", permissions.send_mail === true],
    ["network", network.mode !== "none"],
    ["remote", place !== undefined],
    ["not_enforced", limits.some(({ enforcement }) => enforcement === "not_enforced")],
  ];
  return all.filter(([, holds]) => holds).map(([name]) => name);
}

/** See the table above. @param place  as in {@link ReviewInput} */
export function ratingOf(
  { permissions, network }: Pick<PluginTerms, "permissions" | "network">,
  place: string | undefined,
  limits: readonly LimitReport[],
): number {
  const reads = readsOf(permissions);
  const isLoose = limits.some(one => one.limit === "network" && one.enforcement === "not_enforced");
  const anywhere = network.mode === "unlimited" || place !== undefined || isLoose;
  const reach = anywhere ? 2 : network.mode === "none" ? 0 : 1;
  return 1 + Math.max(reads, changesOf(permissions)) + reach;
}

function readsOf({ read_headers, read_body, read_attachments }: PermissionsInput): number {
  if (read_body === "full" || read_attachments === "full") return 3;
  if (read_body === "preview" || read_attachments === "preview") return 2;
  const headers = read_headers !== undefined && read_headers !== false;
  return headers || read_attachments === "metadata" ? 1 : 0;
}

function changesOf(asked: PermissionsInput): number {
  const decide = asked.decide ?? [];
  if (decide.includes("reject") || asked.add_recipients === true || asked.send_mail === true) return 3;
  if (decide.length > 0 || asked.move_message === true || asked.append_text === true) return 2;
  const little = [asked.write_tags, asked.write_flags, asked.write_metadata, asked.write_headers];
  return little.includes(true) ? 1 : 0;
}

function differenceOf(one: Widening, texts: ReviewTexts): readonly string[] {
  switch (one.kind) {
    case "permission":
      return newRights(one, texts);
    case "point":
      return pointText(one.name, texts);
    case "cap":
      return [
        texts.changed(one.name, shown(one.approved, texts.unbounded), shown(one.asked, texts.unbounded)),
      ];
    case "scope":
      return [texts.changed(one.name, scopeText(one.approved, texts), scopeText(one.asked, texts))];
    case "policy":
      return [texts.changed(one.name, shown(one.approved, texts.none), shown(one.asked, texts.none))];
    case "limit":
      if (one.name === "persistent_dir") return [texts.persistentDir];
      return [
        texts.changed(
          labelOf(one.name, texts),
          shown(one.approved, texts.unbounded),
          shown(one.asked, texts.unbounded),
        ),
      ];
    case "network":
    case "transport":
    case "remote":
    case "signer": {
      const label = labelOf(one.name === "" ? one.kind : one.name, texts);
      return [texts.changed(label, shown(one.approved, texts.none), shown(one.asked, texts.none))];
    }
  }
}

/** What is not asked for any more, or less of it: by the same words, from what was approved to what is asked for. */
function lessOf(one: Widening, terms: PluginTerms, texts: ReviewTexts): readonly string[] {
  if (one.kind === "transport" || one.kind === "remote" || one.kind === "signer") return [];
  // Of two patterns neither is less than the other: that they differ stands under what is more.
  if (one.kind === "scope" && typeof one.asked === "string" && one.asked !== "") return [];
  if (one.kind !== "permission")
    return differenceOf({ ...one, approved: one.asked, asked: one.approved }, texts);
  const left = new Set(rightsOf(terms.permissions, texts).map(([, text]) => text));
  return differenceOf(one, texts).filter(text => !left.has(text));
}

/** No pattern matches everything. */
const scopeText = (value: unknown, texts: ReviewTexts): string =>
  value === "" ? texts.anyMail : shown(value, texts.none);

/** Of a list, what is new in it. */
function newRights({ name, approved, asked }: Widening, texts: ReviewTexts): readonly string[] {
  const sentences = (value: unknown) => rightsOf({ [name]: value }, texts).map(([, text]) => text);
  const known = new Set(sentences(approved));
  return sentences(asked).filter(text => !known.has(text));
}

function pointText(name: string, texts: ReviewTexts): readonly string[] {
  return Object.entries(texts.points).flatMap(([point, text]) => (point === name ? [text] : []));
}

function labelOf(name: string, { labels }: ReviewTexts): string {
  return Object.entries(labels).find(([key]) => key === name)?.[1] ?? name;
}

function shown(value: unknown, nothing: string): string {
  if (value === undefined) return nothing;
  if (typeof value === "object" && value !== null && "mode" in value && "allow" in value) {
    const { mode, allow } = value as PluginTerms["network"];
    return allow.length === 0 ? mode : `${mode} (${allow.join(", ")})`;
  }
  return harmless(String(value));
}
