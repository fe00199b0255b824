/** The search keys EMAILID and THREADID. Pure. Source: RFC 8474 §6, §7. */
import type { MessageRow } from "../../core/ports/mailboxes.ts";
import type { Lexer } from "./lexer.ts";
import { ImapSyntaxError } from "./syntax-error.ts";

export interface ObjectIdKey {
  readonly kind: "objectId";
  readonly of: "EMAILID" | "THREADID";
  readonly id: string;
}

const OBJECT_ID = /^[A-Za-z0-9_-]{1,255}$/u;

export function parseObjectId(lexer: Lexer): string {
  const id = lexer.astring().toString("latin1");
  if (!OBJECT_ID.test(id)) throw new ImapSyntaxError("Invalid object id");
  return id;
}

/** @param row  with its object ids */
export function hasObjectId(key: ObjectIdKey, row: MessageRow): boolean {
  return key.id === (key.of === "EMAILID" ? row.emailId : row.threadId);
}
