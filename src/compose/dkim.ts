/** DKIM keys of our domains, and who signs with them. */

import { tagList } from "../core/dkim-tags.ts";
import { MairustError } from "../core/errors.ts";
import {
  type DkimAdmin,
  type DkimCheck,
  type DkimKeyRecord,
  dkimName,
  dkimRecord,
} from "../core/ports/dkim.ts";
import type { DkimSigner } from "../core/ports/sender-auth.ts";
import { type Ask, askServers } from "../delivery/sender-auth-dns.ts";
import { makeDkimKey } from "../delivery/sender-auth-keys.ts";
import { KeySigner } from "../delivery/sender-auth-signer.ts";
import { deadlineAfter, within } from "../platform/deadline.ts";
import type { MasterKey } from "../platform/master-key.ts";
import type { Db } from "../store/db.ts";
import { createDkimKeys } from "../store/dkim-keys.ts";
import { DKIM_PURPOSE } from "../store/reseal.ts";
import type { Settings } from "./settings.ts";

export interface Dkim {
  readonly admin: DkimAdmin;
  readonly signer: DkimSigner;
}

/** Somebody waits for the answer of a command. */
const CHECK_MS = 5_000;

export function dkim(db: Db, master: MasterKey, settings: Settings): Dkim {
  const keys = createDkimKeys(db, master.ring(DKIM_PURPOSE));
  const now = () => new Date();
  return {
    signer: new KeySigner(keys, now),
    admin: {
      list: domain => keys.list(domain),
      remove: (domain, selector, options) => keys.remove(domain, selector, options),
      add: async (asked, options) => keys.add(await makeDkimKey(asked, now()), options),
      async check(domain) {
        // Asked anew each time: what was published a moment ago is to be seen.
        const ask = askServers(settings.config.sender_auth.resolver);
        return Promise.all((await keys.list(domain)).map(key => checkKey(key, ask)));
      },
    },
  };
}

async function checkKey(key: DkimKeyRecord, ask: Ask): Promise<DkimCheck> {
  const deadline = deadlineAfter(CHECK_MS);
  try {
    const answer = await within(ask(dkimName(key), "TXT"), deadline);
    if (answer.kind === "none") return { key, dns: "absent", found: undefined };
    if (answer.kind === "failed") return { key, dns: "unknown", found: answer.why };
    const texts = (answer.rows as readonly (readonly string[])[]).map(pieces => pieces.join(""));
    // What a verifier reads: of several records anyone.
    const isSame = texts.length === 1 && texts.every(text => isRecordOf(text, key));
    return { key, dns: isSame ? "published" : "differs", found: texts.join("\n") };
  } catch (error) {
    if (!(error instanceof MairustError)) throw error;
    return { key, dns: "unknown", found: "no answer in time" };
  } finally {
    deadline.dispose();
  }
}

function isRecordOf(text: string, key: DkimKeyRecord): boolean {
  const [found, wanted] = [tagList(text).tags, tagList(dkimRecord(key)).tags];
  return found.get("p") === wanted.get("p") && (found.get("k") ?? "rsa") === wanted.get("k");
}
