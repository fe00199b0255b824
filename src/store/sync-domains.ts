/** Domains that a configuration file names exist from the next start or reload on. The file's stage is only their first one. */

import type { Domain } from "../core/ports/directory.ts";
import { canonicalDomain } from "./addresses.ts";
import { type Db, jsonText } from "./db.ts";

/** As `[domains]` of the files has it. */
export type ConfiguredDomain = Omit<Domain, "hasAccountStages">;

/**
 * Add what is missing; tenant, account policy and quota follow the file, the next hop where the file names one, the stage of an existing
 * domain stays. A domain that only a file made and that no file names any more takes no mail from now on; its mail stays, and it is back
 * when a file names it again.
 */
export async function syncDomains(db: Db, domains: readonly ConfiguredDomain[]): Promise<void> {
  const rows = jsonText(
    domains.map(d => ({
      n: canonicalDomain(d.name) ?? d.name,
      t: d.tenant,
      s: d.stage,
      a: d.accounts,
      q: d.quotaBytes,
      r: d.relayLmtp,
    })),
  );
  await db.begin(async tx => {
    await tx.query`
      insert into tenants (name) select distinct t from json_to_recordset(${rows}::text::json) as d(t text) on conflict do nothing`;
    await tx.query`
      insert into domains as d (name, tenant, stage, accounts, quota_bytes, relay_lmtp, relay_by_file, origin)
      select n, t, s, a, q, r, r is not null, 'file'
      from json_to_recordset(${rows}::text::json) as w(n text, t text, s text, a text, q bigint, r text)
      order by n
      on conflict (name) do update
        set tenant = excluded.tenant, accounts = excluded.accounts, quota_bytes = excluded.quota_bytes, enabled = true,
            relay_lmtp = case when excluded.relay_by_file or d.relay_by_file then excluded.relay_lmtp else d.relay_lmtp end,
            relay_by_file = excluded.relay_by_file, stage_version = d.stage_version + 1
        where (d.tenant, d.accounts, d.quota_bytes, d.enabled, d.relay_by_file)
              is distinct from (excluded.tenant, excluded.accounts, excluded.quota_bytes, true, excluded.relay_by_file)
          or excluded.relay_by_file and d.relay_lmtp <> excluded.relay_lmtp`;
    await tx.query`
      update domains set enabled = false
      where origin = 'file' and enabled
        and name not in (select n from json_to_recordset(${rows}::text::json) as w(n text))`;
  });
}
