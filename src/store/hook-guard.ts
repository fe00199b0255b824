/** Demotions, bypasses and recorded differences of hooks, as rows. */
import type { Difference } from "../core/hook-diff.ts";
import {
  type Bypass,
  type GuardRecords,
  type HookDiff,
  MAX_DIFFS_PER_HOOK,
} from "../core/ports/hook-guard.ts";
import type { HookPoint } from "../core/ports/hooks.ts";
import { type Db, jsonText } from "./db.ts";

export function createGuardRecords(db: Db): GuardRecords {
  return {
    demotions: () => db.query<{ hook: string; reason: string; at: Date }>`
      select hook, reason, at from hook_overrides order by hook`,
    async demote({ hook, reason, at }) {
      await db.run`
        insert into hook_overrides (hook, mode, reason, at) values (${hook}, 'shadow', ${reason}, ${at})
        on conflict (hook) do nothing`;
    },
    restore: async hook => (await db.run`delete from hook_overrides where hook = ${hook}`) > 0,
    bypasses: () => readBypasses(db),
    async setBypass({ plugin = "", until, by, at }) {
      await db.begin(async tx => {
        await tx.run`delete from bypasses where until <= now()`;
        await tx.run`
          insert into bypasses (plugin_id, until, set_by, at) values (${plugin}, ${until ?? null}::timestamptz, ${by}, ${at})
          on conflict (plugin_id) do update set until = excluded.until, set_by = excluded.set_by, at = excluded.at`;
      });
    },
    endBypass: plugin =>
      plugin === undefined
        ? db.run`delete from bypasses`
        : db.run`delete from bypasses where plugin_id = ${plugin}`,
    keepDiffs: diffs => keepDiffs(db, diffs),
    diffs: (hook, limit) => readDiffs(db, hook, limit),
  };
}

async function readBypasses(db: Db): Promise<readonly Bypass[]> {
  const rows = await db.query<{ plugin_id: string; until: Date | null; set_by: string; at: Date }>`
    select plugin_id, until, set_by, at from bypasses where until is null or until > now() order by plugin_id`;
  return rows.map(({ plugin_id: plugin, until, set_by: by, at }) => ({
    plugin: plugin === "" ? undefined : plugin,
    until: until ?? undefined,
    by,
    at,
  }));
}

async function keepDiffs(db: Db, diffs: readonly HookDiff[]): Promise<void> {
  if (diffs.length === 0) return;
  const rows = jsonText(
    diffs.map(({ at, plugin, callId, messageId, queueId, ...diff }) => ({
      ...diff,
      at: at.toISOString(),
      plugin_id: plugin,
      call_id: callId,
      message_id: messageId,
      queue_id: queueId,
    })),
  );
  await db.run`
    insert into hook_diffs (hook, plugin_id, point, at, call_id, message_id, queue_id, recipient, differences)
    select hook, plugin_id, point, at, call_id, message_id, queue_id, recipient, differences
    from jsonb_to_recordset(${rows}::text::jsonb) as r(
      hook text, plugin_id text, point text, at timestamptz, call_id text, message_id text, queue_id text, recipient text,
      differences jsonb)`;
  for (const hook of new Set(diffs.map(diff => diff.hook))) {
    await db.run`
      delete from hook_diffs where hook = ${hook} and id <= (
        select id from hook_diffs where hook = ${hook} order by id desc offset ${MAX_DIFFS_PER_HOOK} limit 1)`;
  }
}

interface DiffRow {
  readonly hook: string;
  readonly plugin_id: string;
  readonly point: HookPoint;
  readonly at: Date;
  readonly call_id: string;
  readonly message_id: string;
  readonly queue_id: string;
  readonly recipient: string;
  readonly differences: readonly Difference[];
}

async function readDiffs(db: Db, hook: string, limit: number): Promise<readonly HookDiff[]> {
  const rows = await db.query<DiffRow>`
    select hook, plugin_id, point, at, call_id, message_id, queue_id, recipient, differences
    from hook_diffs where hook = ${hook} order by id desc limit ${limit}`;
  return rows.map(row => ({
    hook: row.hook,
    plugin: row.plugin_id,
    point: row.point,
    at: row.at,
    callId: row.call_id,
    messageId: row.message_id,
    queueId: row.queue_id,
    recipient: row.recipient,
    differences: row.differences,
  }));
}
