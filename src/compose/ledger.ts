/** Component "ledger": the spool that calls of plugins are recorded in before they leave, and what brings it into the database. */
import { join } from "node:path";
import type { Ledger, LedgerEntry, LedgerRecords } from "../core/ports/ledger.ts";
import { openLedgerFiles } from "../hooks/ledger-files.ts";
import { LedgerLoader } from "../hooks/ledger-loader.ts";
import { LedgerSpool } from "../hooks/ledger-spool.ts";
import { type Component, component } from "../platform/component.ts";
import { deadlineAfter, every, within } from "../platform/deadline.ts";
import type { Health } from "../platform/health.ts";
import type { RootLog } from "../platform/log.ts";
import type { Db } from "../store/db.ts";
import { keepLedgerEntries, listLedger } from "../store/ledger.ts";
import { cell } from "./cell.ts";
import type { Settings } from "./settings.ts";

const LOAD_MS = 2_000;
/** For what is not loaded yet when somebody reads the ledger. */
const LOAD_FIRST_MS = 2_000;
/** From this share of its bound on the spool's health says so. */
const WARN_AT = 0.5;

export interface LedgerParts {
  readonly settings: Settings;
  readonly log: RootLog;
  readonly version: string;
  readonly db: Db;
}

export interface LedgerHandle {
  readonly component: Component;
  /** For those that call plugins; before the component runs every call fails. */
  readonly ledger: Ledger;
  readonly records: LedgerRecords;
}

export function ledgerComponent({ settings, log, version, db }: LedgerParts): LedgerHandle {
  const spool = cell<LedgerSpool>("ledger");
  const loader = cell<LedgerLoader>("ledger");
  const ends: Array<() => void> = [];
  return {
    ledger: { record: async (entry, deadline) => spool.get().record(entry, deadline) },
    records: {
      async list(filter, page) {
        await loadFirst(loader.peek());
        return listLedger(db, filter, page);
      },
    },
    component: component({
      info: {
        name: "ledger",
        version,
        description: "what leaves for plugins, written before",
        type: "service",
      },
      async init() {
        const files = await openLedgerFiles(join(settings.config.data_dir, "ledger"));
        const opened = new LedgerSpool({ files, now: Date.now });
        await opened.open();
        spool.set(opened);
        const keep = (entries: readonly LedgerEntry[]) => keepLedgerEntries(db, entries);
        loader.set(new LedgerLoader({ spool: opened, files, keep, log, now: Date.now }));
      },
      start() {
        ends.push(every(LOAD_MS, () => loader.get().tryLoad()));
      },
      async stop(deadline) {
        for (const end of ends.splice(0)) end();
        await spool.peek()?.close();
        // What is not loaded now is loaded by the next start.
        await within(loader.peek()?.load() ?? Promise.resolve(), deadline).catch(() => undefined);
      },
      health: () => spoolHealth(spool.get()),
    }),
  };
}

async function loadFirst(loader: LedgerLoader | undefined): Promise<void> {
  if (loader === undefined) return;
  const deadline = deadlineAfter(LOAD_FIRST_MS);
  await within(loader.tryLoad(), deadline).catch(() => undefined);
  deadline.dispose();
}

function spoolHealth(spool: LedgerSpool): Health {
  if (spool.failure !== undefined)
    return { status: "degraded", detail: `plugins are not called: ${spool.failure}` };
  const share = spool.pendingBytes / spool.maxBytes;
  if (share < WARN_AT) return { status: "ok" };
  const detail = `${spool.pendingBytes} of ${spool.maxBytes} octets wait for the database`;
  return { status: "degraded", detail };
}
