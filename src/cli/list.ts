/** Reads a list of the API page by page, up to a limit, and says when there is more. */
import { DEFAULT_PAGE_ITEMS, MAX_PAGE_ITEMS } from "../wire/api/codes.ts";
import type { PageBody } from "../wire/api/common.ts";
import type { Client } from "./client.ts";
import type { CommandContext } from "./command.ts";
import { wholeOption } from "./numbers.ts";
import { type Column, printRows } from "./output.ts";

/** Most lines that `--limit` may ask for: all of them are held to line up a table. */
const MAX_LINES = 100_000;

export async function printList<T>(
  context: CommandContext,
  client: Client,
  path: string,
  query: Readonly<Record<string, string | undefined>>,
  columns: readonly Column<T>[] | ((rows: readonly T[]) => readonly Column<T>[]),
  fallbackLimit: number = DEFAULT_PAGE_ITEMS,
): Promise<void> {
  const { terminal, format, options } = context;
  const limit = wholeOption(options, "limit", fallbackLimit, { min: 1, max: MAX_LINES });
  const rows: T[] = [];
  let cursor: string | null = null;
  do {
    const page: { readonly body: PageBody<T> } = await client.get<PageBody<T>>(path, {
      query: {
        ...query,
        limit: Math.min(MAX_PAGE_ITEMS, limit - rows.length),
        ...(cursor === null ? {} : { cursor }),
      },
    });
    rows.push(...page.body.items);
    cursor = page.body.next_cursor;
  } while (cursor !== null && rows.length < limit);
  printRows(terminal, format, rows, typeof columns === "function" ? columns(rows) : columns);
  if (cursor !== null) terminal.err(`there are more: shown are ${rows.length}, --limit shows others\n`);
}
