/** Counts of all nodes in PostgreSQL. A statement whose reply was lost may be counted twice: caps and budgets are then met earlier. */
import type { Tallies, Tally, TallyKind } from "../core/ports/tallies.ts";
import { type Db, jsonText, sql } from "./db.ts";

/** Rows of one statement. */
const ROWS_PER_STATEMENT = 1_000;
/** Most that is read at once: what one hour of a hundred plugins has. */
const MAX_ROWS = 100_000;

interface Row {
  readonly kind: TallyKind;
  readonly name: string;
  readonly slot: Date;
  readonly what: string;
  readonly amount: number;
}

export function createTallies(db: Db): Tallies {
  return {
    async add(tallies) {
      for (let at = 0; at < tallies.length; at += ROWS_PER_STATEMENT) {
        const rows = jsonText(tallies.slice(at, at + ROWS_PER_STATEMENT).map(toRow));
        // In order: two nodes that add at the same time wait for each other, and never in a circle.
        await db.run`
          insert into tallies (kind, name, slot, what, amount)
          select kind, name, slot, what, amount
          from jsonb_to_recordset(${rows}::text::jsonb) as r(kind text, name text, slot timestamptz, what text, amount float8)
          order by kind, name, slot, what
          on conflict (kind, name, slot, what) do update set amount = tallies.amount + excluded.amount`;
      }
    },
    read: (kind, since, name) => db.query<Row>`
      select kind, name, slot, what, amount from tallies
      where kind = ${kind} and slot >= ${since} and ${name === undefined ? sql`true` : sql`name = ${name}`}
      order by slot desc, name, what limit ${MAX_ROWS}`,
  };
}

const toRow = ({ slot, ...tally }: Tally) => ({ ...tally, slot: slot.toISOString() });
