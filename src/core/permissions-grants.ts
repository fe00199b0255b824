/**
 * Grants: what an administrator allowed one plugin. Pure rules over them: prerequisites, "granted ⊆ requested", defaults.
 * Nothing is granted silently: what is left out is not granted. Step 3 of the message path reads the result only.
 */
import {
  type Decision,
  type PermissionName,
  type PermissionsInput,
  READ_ATTACHMENTS,
  READ_BODY,
  type ReadAttachments,
  type ReadBody,
} from "../wire/permissions.ts";

/** Every right spelled out. Keys are the contract's own names. */
export interface Grants {
  /** true: all fields; a set: these names in lower case. */
  readonly read_headers: boolean | ReadonlySet<string>;
  readonly read_body: ReadBody;
  readonly read_attachments: ReadAttachments;
  readonly write_tags: boolean;
  readonly write_flags: boolean;
  readonly move_message: boolean;
  readonly write_metadata: boolean;
  readonly decide: ReadonlySet<Decision>;
  readonly write_headers: boolean;
  readonly append_text: boolean;
  readonly add_recipients: boolean;
  readonly send_mail: boolean;
}

/** Fill in what is left out: nothing. */
export function grantsOf(input: PermissionsInput = {}): Grants {
  const headers = input.read_headers ?? false;
  return {
    read_headers: typeof headers === "boolean" ? headers : new Set(headers.map(name => name.toLowerCase())),
    read_body: input.read_body ?? "none",
    read_attachments: input.read_attachments ?? "none",
    write_tags: input.write_tags ?? false,
    write_flags: input.write_flags ?? false,
    move_message: input.move_message ?? false,
    write_metadata: input.write_metadata ?? false,
    decide: new Set(input.decide ?? []),
    write_headers: input.write_headers ?? false,
    append_text: input.append_text ?? false,
    add_recipients: input.add_recipients ?? false,
    send_mail: input.send_mail ?? false,
  };
}

export type PrerequisiteCode = "PERM_DEP_TAGS" | "PERM_DEP_FLAGS" | "PERM_DEP_META" | "PERM_DEP_MOVE";

export interface PermissionProblem {
  readonly permission: PermissionName;
  readonly code: PrerequisiteCode;
  readonly text: string;
}

/** A right to change a message needs the right to know what is changed: checked in the manifest and again for the grants. */
export function missingPrerequisites(grants: Grants): readonly PermissionProblem[] {
  const headers = grants.read_headers !== false;
  const body = grants.read_body !== "none";
  const rules: ReadonlyArray<readonly [PermissionName, boolean, PrerequisiteCode, string]> = [
    ["write_tags", !grants.write_tags || headers, "PERM_DEP_TAGS", "write_tags needs read_headers"],
    ["write_flags", !grants.write_flags || headers, "PERM_DEP_FLAGS", "write_flags needs read_headers"],
    [
      "write_metadata",
      !grants.write_metadata || headers,
      "PERM_DEP_META",
      "write_metadata needs read_headers",
    ],
    [
      "move_message",
      !grants.move_message || (headers && body),
      "PERM_DEP_MOVE",
      'move_message needs read_headers and read_body = "preview" or more',
    ],
  ];
  return rules
    .filter(([, holds]) => !holds)
    .map(([permission, , code, text]) => ({ permission, code, text }));
}

/** @returns the rights of `granted` that go beyond `requested`: a plugin never gets what it did not ask for */
export function beyondRequest(granted: Grants, requested: Grants): readonly PermissionName[] {
  const beyond: PermissionName[] = [];
  if (!headersWithin(granted.read_headers, requested.read_headers)) beyond.push("read_headers");
  if (READ_BODY.indexOf(granted.read_body) > READ_BODY.indexOf(requested.read_body)) beyond.push("read_body");
  if (
    READ_ATTACHMENTS.indexOf(granted.read_attachments) > READ_ATTACHMENTS.indexOf(requested.read_attachments)
  ) {
    beyond.push("read_attachments");
  }
  if ([...granted.decide].some(action => !requested.decide.has(action))) beyond.push("decide");
  for (const name of SWITCHES) if (granted[name] && !requested[name]) beyond.push(name);
  return beyond;
}

/** Rights that are only yes or no. */
export const SWITCHES = [
  "write_tags",
  "write_flags",
  "move_message",
  "write_metadata",
  "write_headers",
  "append_text",
  "add_recipients",
  "send_mail",
] as const satisfies readonly PermissionName[];

function headersWithin(granted: Grants["read_headers"], requested: Grants["read_headers"]): boolean {
  if (granted === false || requested === true) return true;
  if (granted === true || requested === false) return false;
  return [...granted].every(name => requested.has(name));
}
