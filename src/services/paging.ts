/** Cursors of lists: the store's key of the last item, made opaque so that clients do not build their own. Pure. */
import type { Page, PageRequest } from "../core/admin-ports.ts";
import { MairustError } from "../core/errors.ts";
import { DEFAULT_PAGE_ITEMS, MAX_PAGE_ITEMS } from "../wire/api/codes.ts";

/** A page as a client asks for it. */
export interface PageAsked {
  /** 1..{@link MAX_PAGE_ITEMS}; default {@link DEFAULT_PAGE_ITEMS}. */
  readonly limit?: number | undefined;
  readonly cursor?: string | undefined;
}

export interface PageGiven<T> {
  readonly items: readonly T[];
  readonly nextCursor: string | undefined;
}

/** Longest cursor: an address of 1000 characters in base64url. */
const MAX_CURSOR_CHARS = 6000;

function refuse(text: string): MairustError {
  return new MairustError("invalid_argument", `Cannot list: ${text}`, { publicText: text });
}

/** @throws {MairustError} `invalid_argument`: limit out of range, or a cursor that no list gave out */
export function pageRequest(asked: PageAsked): PageRequest {
  const limit = asked.limit ?? DEFAULT_PAGE_ITEMS;
  if (!Number.isInteger(limit) || limit < 1 || limit > MAX_PAGE_ITEMS) {
    throw refuse(`limit is ${limit}, allowed are 1 to ${MAX_PAGE_ITEMS}`);
  }
  if (asked.cursor === undefined) return { limit };
  const key = Buffer.from(asked.cursor, "base64url").toString("utf8");
  const exact = asked.cursor.length <= MAX_CURSOR_CHARS && encodeCursor(key) === asked.cursor;
  if (!exact || key === "" || key.includes("\0")) throw refuse("the cursor is not one of ours");
  return { limit, after: key };
}

export function encodeCursor(key: string): string {
  return Buffer.from(key, "utf8").toString("base64url");
}

export function pageGiven<T>(page: Page<T>): PageGiven<T> {
  return { items: page.items, nextCursor: page.next === undefined ? undefined : encodeCursor(page.next) };
}
