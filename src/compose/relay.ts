/**
 * Component "relay": next hops, what is known of relayed mail, and the Sieve rule for folders that hooks choose. The journal is opened
 * before any listener, and closed after all of them.
 */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { messageOf } from "../core/errors.ts";
import type { BlobStore } from "../core/ports/blobs.ts";
import type { NextHops, RelayPause } from "../core/ports/relay.ts";
import type { RelayRecords } from "../core/ports/relay-records.ts";
import { createNextHops } from "../delivery/relay/next-hops.ts";
import { type Component, component } from "../platform/component.ts";
import { every, within } from "../platform/deadline.ts";
import type { RootLog } from "../platform/log.ts";
import type { MasterKey } from "../platform/master-key.ts";
import { packageRoot } from "../platform/package-root.ts";
import type { MailboxChanges } from "../store/changes.ts";
import type { Db } from "../store/db.ts";
import { createRelayRecords } from "../store/relay.ts";
import { RelayJournal } from "../store/relay-journal.ts";
import type { Settings } from "./settings.ts";

/** Between two tries to bring the journal into the database. */
const REPLAY_MS = 2_000;
const HOUSEKEEPING_MS = 300_000;
const MS_PER_S = 1_000;

export interface RelayParts {
  readonly settings: Settings;
  readonly log: RootLog;
  readonly version: string;
  readonly db: Db;
  readonly blobs: BlobStore;
  readonly changes: MailboxChanges;
  readonly master: MasterKey;
}

export interface Relay {
  readonly component: Component;
  readonly hops: NextHops & RelayPause;
  readonly records: RelayRecords;
  readonly folderSecret: string;
}

export function relayOf({ settings, log, version, db, blobs, changes, master }: RelayParts): Relay {
  const { hostname, data_dir: dataDir } = settings.config;
  const redeliveryWindowS = () => settings.config.lmtp.redelivery_window_s;
  const dir = join(dataDir, "relay");
  const journal = new RelayJournal({
    file: join(dir, "journal"),
    now: Date.now,
    windowMs: () => redeliveryWindowS() * MS_PER_S,
  });
  const confirmBlob: BlobStore["confirm"] = digest => blobs.confirm(digest);
  const records = createRelayRecords({ db, changes, journal, log, redeliveryWindowS, confirmBlob });
  const hops = createNextHops({ hostname });
  const folderSecret = master.hmacKey("relay-folder").toString("hex").slice(0, 32);
  const ends: (() => void)[] = [];
  return {
    hops,
    records,
    folderSecret,
    component: component({
      info: { name: "relay", version, description: "hands mail on to the next hop", type: "service" },
      async init() {
        journal.start();
        await writeFolderRule(dir, folderSecret);
      },
      start() {
        const failed = (error: unknown) =>
          log.warn("care of relayed mail failed", { reason: messageOf(error) });
        ends.push(every(REPLAY_MS, () => records.replay(), failed));
        ends.push(every(HOUSEKEEPING_MS, () => records.housekeeping(), failed));
      },
      async stop(deadline) {
        for (const end of ends.splice(0)) end();
        await within(records.replay(), deadline).catch(() => undefined);
        hops.close();
        journal.stop();
      },
    }),
  };
}

/** For the operator to put into Dovecot: the shipped rule with this installation's secret. */
async function writeFolderRule(dir: string, secret: string): Promise<void> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const shipped = await readFile(join(packageRoot(), "dovecot", "mairust-folder.sieve"), "utf8");
  await writeFile(join(dir, "mairust-folder.sieve"), shipped.replaceAll("@SECRET@", secret), { mode: 0o640 });
}
