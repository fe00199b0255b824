/** Stand-ins for the database and the blob store: everything is wired before they are open, and works once they are. */
import type { BlobStore } from "../core/ports/blobs.ts";
import type { Db } from "../store/db.ts";
import type { Cell } from "./cell.ts";

export function lateDb(db: Cell<Db>): Db {
  return {
    query: (strings, ...values) => db.get().query(strings, ...values),
    run: (strings, ...values) => db.get().run(strings, ...values),
    begin: (work, options, deadline) => db.get().begin(work, options, deadline),
    listen: (channel, onNotify, onReconnect) => db.get().listen(channel, onNotify, onReconnect),
    notify: (channel, payload) => db.get().notify(channel, payload),
    get counts() {
      return db.get().counts;
    },
    close: deadline => db.get().close(deadline),
  };
}

export function lateBlobs(blobs: Cell<BlobStore>): BlobStore {
  return {
    stage: () => blobs.get().stage(),
    get: (digest, range) => blobs.get().get(digest, range),
    open: (digest, range) => blobs.get().open(digest, range),
    head: digest => blobs.get().head(digest),
    delete: digest => blobs.get().delete(digest),
    confirm: digest => blobs.get().confirm(digest),
    list: () => blobs.get().list(),
    removeLeftovers: () => blobs.get().removeLeftovers(),
    verify: digest => blobs.get().verify(digest),
    freeBytes: () => blobs.get().freeBytes(),
  };
}
