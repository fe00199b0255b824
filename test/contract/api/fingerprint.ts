/** What a service's database holds, as one text, to see that something changed nothing. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import type { Db } from "../../../src/store/db.ts";

/** Tables that work of the service's own changes at any time. */
const RESTLESS = /^(?:jobs|search_|imap_text|message_keys|tallies|ledger|hook_tallies|events)/u;

/** @returns a line for each table */
export async function fingerprint(db: Db): Promise<string> {
  const tables = await db.query<{ readonly name: string; readonly rows: string }>`
    select table_name::text as name, query_to_xml(format('select * from %I', table_name), true, false, '')::text as rows
    from information_schema.tables where table_schema = 'public' order by table_name`;
  const kept = tables.filter(({ name }) => !RESTLESS.test(name));
  assert.ok(kept.some(({ name }) => name === "entries"));
  return kept
    .map(({ name, rows }) => `${name} ${createHash("sha256").update(rows).digest("hex")}`)
    .join("\n");
}
