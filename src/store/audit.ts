/**
 * The audit log in PostgreSQL. Rows are only added: a trigger refuses everything else (`migrations/0009_audit_settings.sql`).
 * Each entry is a line of the log too, so that a copy leaves the host where logs do.
 */
import type { Page, PageRequest } from "../core/admin-ports.ts";
import { MairustError } from "../core/errors.ts";
import type { Audit, AuditEntry, AuditFilter, AuditRecord, AuditRecords } from "../core/ports/audit.ts";
import type { Log } from "../core/ports/log.ts";
import { cutUtf8 } from "../core/utf8-cut.ts";
import { pageOf } from "./admin-change.ts";
import { type Db, json, pgText, sql } from "./db.ts";

/** As the table's checks have them. */
const MAX_ACTOR_BYTES = 256;
const MAX_OBJECT_BYTES = 4_000;

interface AuditRow {
  readonly id: string;
  readonly at: Date;
  readonly actor: string;
  readonly action: string;
  readonly object: string;
  readonly detail: Readonly<Record<string, unknown>>;
}

export function createAudit(db: Db, log: Log): Audit & AuditRecords {
  return {
    async record(entry) {
      const { actor, action, object, detail } = bounded(entry);
      await db.run`
        insert into audit (actor, action, object, detail) values (${actor}, ${action}, ${object}, ${json(detail)}::jsonb)`;
      log.info("audit", { actor, action, object, detail: JSON.stringify(detail) });
    },
    list: (filter, page) => listAudit(db, filter, page),
  };
}

/** Names of objects come as somebody typed them: too long ones are cut, never a reason to record nothing. */
function bounded({ actor, action, object, detail }: AuditEntry): AuditEntry {
  return {
    actor: cutUtf8(pgText(actor), MAX_ACTOR_BYTES),
    action,
    object: cutUtf8(pgText(object), MAX_OBJECT_BYTES),
    detail,
  };
}

async function listAudit(db: Db, filter: AuditFilter, page: PageRequest): Promise<Page<AuditRecord>> {
  const { actor, action, object, since, until } = filter;
  const rows = await db.query<AuditRow>`
    select id::text, at, actor, action, object, detail from audit
    where ${page.after === undefined ? sql`true` : sql`id < ${cursorId(page.after)}::bigint`}
      and ${actor === undefined ? sql`true` : sql`actor = ${pgText(actor)}`}
      and ${action === undefined ? sql`true` : ofAction(action)}
      and ${object === undefined ? sql`true` : sql`object = ${pgText(object)}`}
      and ${since === undefined ? sql`true` : sql`at >= ${since}`}
      and ${until === undefined ? sql`true` : sql`at < ${until}`}
    order by audit.id desc limit ${page.limit + 1}`;
  return pageOf(
    rows,
    page,
    row => ({ ...row }),
    ({ id }) => id,
  );
}

/** A kind of object stands for all that is done to such. */
function ofAction(action: string) {
  return action.endsWith(".") ? sql`starts_with(action, ${pgText(action)})` : sql`action = ${pgText(action)}`;
}

function cursorId(cursor: string): string {
  if (/^\d{1,18}$/u.test(cursor)) return cursor;
  const reason = "the cursor is not one of ours";
  throw new MairustError("invalid_argument", `Cannot list the audit log: ${reason}`, { publicText: reason });
}
