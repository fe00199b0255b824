/** What a plugin may ask for in an answer: the table of points, and the grant that each item needs. */
import type { Deny } from "./answer-read.ts";
import type { Grants } from "./permissions-grants.ts";
import type { HookPoint } from "./ports/hooks.ts";

export interface ItemContext {
  readonly grants: Grants;
  readonly point: HookPoint;
  readonly pluginId: string;
  /** Addresses that the administrator lets the plugin add, in lower case → as written. */
  readonly bccAllowed: ReadonlyMap<string, string>;
  readonly deny: Deny;
}

export type Item = "tags" | "flags" | "folder" | "metadata" | "headers" | "append_text" | "recipients";

/** Where each item can be applied at all. */
const AT: Readonly<Record<Item, ReadonlySet<HookPoint>>> = {
  tags: new Set(["pre_receive", "pre_delivery", "post_receive", "pre_send"]),
  flags: new Set(["pre_delivery", "post_receive"]),
  folder: new Set(["pre_delivery", "post_receive"]),
  metadata: new Set(["pre_receive", "pre_delivery", "post_receive"]),
  headers: new Set(["pre_receive", "pre_delivery", "pre_send"]),
  append_text: new Set(["pre_send"]),
  recipients: new Set(["pre_send"]),
};

const GRANT = {
  tags: "write_tags",
  flags: "write_flags",
  folder: "move_message",
  metadata: "write_metadata",
  headers: "write_headers",
  append_text: "append_text",
  recipients: "add_recipients",
} as const satisfies Record<Item, keyof Grants>;

/** Says no, with the reason, where the answer is at the wrong point or goes beyond the grant. */
export function may(item: Item, { grants, point, deny }: ItemContext): boolean {
  if (!AT[item].has(point)) deny(item, `not at ${point}`);
  else if (!grants[GRANT[item]]) deny(item, `${GRANT[item]} is not granted`);
  else return true;
  return false;
}
