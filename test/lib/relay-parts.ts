/** Parts of the relay for rigs: the real ones over a test's database and folder, or none where no mail is relayed. */
import { join } from "node:path";
import type { BlobStore } from "../../src/core/ports/blobs.ts";
import type { NextHops } from "../../src/core/ports/relay.ts";
import type { RelayRecords } from "../../src/core/ports/relay-records.ts";
import type { EditRules } from "../../src/delivery/message-edits.ts";
import {
  type ClosableHops,
  createNextHops,
  type NextHopOptions,
} from "../../src/delivery/relay/next-hops.ts";
import type { MailboxChanges } from "../../src/store/changes.ts";
import type { Db } from "../../src/store/db.ts";
import { createRelayRecords, type KeptRelayRecords } from "../../src/store/relay.ts";
import { RelayJournal } from "../../src/store/relay-journal.ts";
import { silentLog } from "./database.ts";

const never = () => Promise.reject(new Error("nothing is relayed here"));
const NO_HOPS: NextHops = { deliver: never, probe: never };
const NO_RECORDS: RelayRecords = {
  known: never,
  prepare: never,
  sending: () => "",
  notSent: () => undefined,
  unknown: () => undefined,
  takenAgain: () => [],
  drop: never,
  record: never,
};

export const NO_RELAY = {
  hops: NO_HOPS,
  records: NO_RECORDS,
  folderSecret: "secret",
  onMaybeTwice: () => undefined,
};

export const NO_EDIT_RULES: EditRules = {
  signedMail: () => "refuse",
  acquire: async () => () => undefined,
  denied: () => undefined,
};

export interface RealRelay {
  readonly hops: ClosableHops;
  readonly records: KeptRelayRecords;
  readonly journal: RelayJournal;
  close(): void;
}

export interface RealRelayOptions {
  readonly db: Db;
  readonly changes: MailboxChanges;
  readonly blobs: BlobStore;
  /** Of the journal. */
  readonly dir: string;
  readonly limits?: NextHopOptions["limits"];
}

export function realRelay({ db, changes, blobs, dir, limits }: RealRelayOptions): RealRelay {
  const journal = new RelayJournal({
    file: join(dir, "relay", "journal"),
    now: Date.now,
    windowMs: () => 3_600_000,
  });
  journal.start();
  const records = createRelayRecords({
    db,
    changes,
    journal,
    log: silentLog,
    redeliveryWindowS: () => 3600,
    confirmBlob: digest => blobs.confirm(digest),
  });
  const hops = createNextHops({ hostname: "mail.example.test", ...(limits === undefined ? {} : { limits }) });
  return {
    hops,
    records,
    journal,
    close() {
      hops.close();
      journal.stop();
    },
  };
}

/** The methods of its records, to be changed one by one. */
export function changeableRecords({ records }: RealRelay): RelayRecords {
  return {
    known: (...a) => records.known(...a),
    prepare: (...a) => records.prepare(...a),
    sending: (...a) => records.sending(...a),
    notSent: (...a) => records.notSent(...a),
    unknown: (...a) => records.unknown(...a),
    takenAgain: (...a) => records.takenAgain(...a),
    drop: () => Promise.resolve(),
    record: (...a) => records.record(...a),
  };
}
