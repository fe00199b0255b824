/** What is allowed in a manifest and worth a second look: rights that a review warns of, and keys that do nothing. Pure. */
import type { HookPoint } from "../core/ports/hooks.ts";
import type { Manifest } from "../wire/manifest.ts";
import type { PermissionName, PermissionsInput } from "../wire/permissions.ts";
import type { KeyPath } from "./problem.ts";

export interface Warning {
  readonly path: KeyPath;
  readonly text: string;
}

export function manifestWarnings(manifest: Manifest): readonly Warning[] {
  return [
    ...highRights(manifest),
    ...withoutEffect(manifest),
    ...uselessNotes(manifest),
    ...lateWarnings(manifest),
    ...lonelyLimits(manifest),
  ];
}

/** Those that a review warns of: a note says to the administrator why they are needed. */
function highRights({
  permissions = {},
  permission_notes: notes = {},
  limits,
}: Manifest): readonly Warning[] {
  const rights: ReadonlyArray<readonly [PermissionName, boolean, string]> = [
    ["read_body", permissions.read_body === "full", "it reads whole messages"],
    ["read_attachments", permissions.read_attachments === "full", "it reads whole attachments"],
    ["decide", permissions.decide?.includes("reject") === true, "it may refuse mail"],
    ["add_recipients", permissions.add_recipients === true, "it may send copies of mail to others"],
    ["send_mail", permissions.send_mail === true, "it may send mail of its own"],
  ];
  const found: Warning[] = rights
    .filter(([, asked]) => asked)
    .map(([name, , text]) => ({
      path: ["permissions", name],
      text: `a review warns of this right: ${text}${notes[name] === undefined ? `; say why in permission_notes.${name}` : ""}`,
    }));
  const network = limits?.network ?? "none";
  if (network !== "none")
    found.push({
      path: ["limits", "network"],
      text: `a review warns of this: it reaches the network (${network})`,
    });
  return found;
}

/** Right → points where it does something; a right that is not named does everywhere. */
const EFFECT: Readonly<Partial<Record<PermissionName, readonly HookPoint[]>>> = {
  decide: ["pre_receive", "pre_delivery", "pre_send"],
  write_flags: ["pre_delivery", "post_receive"],
  move_message: ["pre_delivery", "post_receive"],
  write_headers: ["pre_receive", "pre_delivery", "pre_send"],
  append_text: ["pre_send"],
  add_recipients: ["pre_send"],
};

function withoutEffect({ permissions = {}, hooks }: Manifest): readonly Warning[] {
  const on = hooks?.on ?? [];
  if (on.length === 0) return [];
  return Object.entries(EFFECT).flatMap(([name, points]) => {
    const right = permissions[name as keyof PermissionsInput];
    const isAsked = Array.isArray(right) ? right.length > 0 : right === true;
    if (!isAsked || points.some(point => on.includes(point))) return [];
    return [
      { path: ["permissions", name], text: `does nothing at ${on.join(", ")}, only at ${points.join(", ")}` },
    ];
  });
}

function uselessNotes({ permissions = {}, permission_notes: notes = {} }: Manifest): readonly Warning[] {
  return Object.keys(notes).flatMap(name => {
    const right = permissions[name as PermissionName];
    const isAsked = right !== undefined && right !== false && right !== "none";
    return isAsked
      ? []
      : [{ path: ["permission_notes", name], text: `permissions.${name} is not asked for` }];
  });
}

function lateWarnings({ hooks }: Manifest): readonly Warning[] {
  return (hooks?.on ?? []).flatMap((point): readonly Warning[] => {
    const keys = { ...hooks, ...hooks?.[point] };
    if (keys.late !== "apply") return [];
    const path = hooks?.[point]?.late === undefined ? ["hooks", "late"] : ["hooks", point, "late"];
    if (point === "post_receive")
      return [{ path, text: "does nothing at post_receive, where nothing waits for the answer" }];
    if ((keys.on_timeout ?? "tempfail") !== "allow")
      return [
        { path, text: `does nothing at ${point} unless on_timeout = "allow": mail is not let go before` },
      ];
    return [];
  });
}

function lonelyLimits({ permissions = {}, caps = {}, limits }: Manifest): readonly Warning[] {
  const found: Warning[] = Object.keys(caps)
    .map(key => [key, key.replace(/_per_hour$/u, "")] as const)
    .filter(([, what]) =>
      what === "move"
        ? permissions.move_message !== true
        : permissions.decide?.some(one => one === what) !== true,
    )
    .map(([key, what]) => ({ path: ["caps", key], text: `it does not ask for the right to ${what}` }));
  if (limits?.network === "local-only" && (limits.network_allow ?? []).length === 0)
    found.push({ path: ["limits", "network"], text: "reaches nothing without network_allow" });
  return found;
}
