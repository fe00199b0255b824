/** What the command `stage` is given in place of real servers: a Postfix of one line, and a server that mail is carried to. */
import assert from "node:assert/strict";
import type { VerifyResult } from "../../../src/wire/api/transfer.ts";
import type { ReadThere, SiteEngines } from "../../../src/wire/site-calls.ts";
import type { TransferEngines } from "../../../src/wire/transfer-calls.ts";

type StageOf = (scope: string) => Promise<unknown>;

const MAILBOX = {
  ...{ mailbox: "INBOX", there: "INBOX", messages: 0, messages_there: 0, same: 0, missing: 0, extra: 0 },
  ...{ bytes_differ: 0, flags_differ: 0, dates_differ: 0, uids_differ: 0, uid_validity_differs: false },
  matched_by: "digest" as const,
};

export function compared(counts: Partial<VerifyResult["mailboxes"][number]> = {}): VerifyResult {
  const total = (counts.extra ?? 0) + (counts.flags_differ ?? 0) + (counts.missing ?? 0);
  return { mailboxes: [{ ...MAILBOX, ...counts }], differences: [], differences_total: total, seconds: 0 };
}

/** Servers that lack one line for each stage but the one they are in; `log` has what was done, with the stage at that time. */
export function servers(scope: string, stageOf: StageOf) {
  const state = { stage: "", log: [] as string[], read: [] as ReadThere[] };
  const engines: SiteEngines = {
    inspect: () => Promise.reject(new Error("not asked")),
    planUndo: () => Promise.reject(new Error("not asked")),
    async plan(_config, places, target) {
      const line = { server: "postfix" as const, file: "main.cf", why: "it needs it" };
      const changes = [{ ...line, commands: [`postconf -e stage=${target.stage}`], lines: [] }];
      const undo = [{ ...line, commands: [`postconf -X stage`], lines: [] }];
      state.log.push(`plan ${target.stage} ${places.postfixDir ?? ""}`.trim());
      const missing = state.stage === target.stage ? [] : changes;
      return { target, changes: missing, undo, obstacles: [], files: [] };
    },
    seenMarker: async () => ({
      async forget(account) {
        state.log.push(`forget ${account} while ${await stageOf(scope)}`);
        if (account.startsWith("bob")) throw new Error("no such user there");
      },
      async mark(account) {
        state.log.push(`seen ${account} while ${await stageOf(scope)}`);
        if (account.startsWith("bob")) throw new Error("no such user there");
        return 3;
      },
    }),
    readFinder: async () =>
      async function* (account) {
        state.log.push(`read ${account} while ${await stageOf(scope)}`);
        yield* state.read;
        if (account.startsWith("bob")) throw new Error("no such user there");
      },
    async apply(_config, _places, plan, backupDir) {
      state.stage = plan.target.stage;
      state.log.push(`apply ${plan.target.stage} while ${await stageOf(scope)}`);
      return { backup: backupDir, changed: ["main.cf"], reloaded: [], notes: [] };
    },
  };
  return { state, standalone: { site: async () => engines } };
}

/** Engines over an imagined server there: what of ours is there, and what the passes were asked. */
export function engines(
  scope: string,
  stageOf: StageOf,
  onPass: (n: number) => Promise<{ copied?: number; failed?: number }>,
) {
  const log: string[] = [];
  /** Messages of INBOX that each pass is about. */
  const seen: number[] = [];
  const made: TransferEngines = {
    importMaildir: () => Promise.reject(new Error("not asked")),
    exportMaildir: () => Promise.reject(new Error("not asked")),
    importImap: () => Promise.reject(new Error("not asked")),
    async exportImap(options) {
      const passes = log.filter(line => line.startsWith("pass")).length;
      const { copied = 0, failed = 0 } = await onPass(passes);
      const boxes = await options.calls.mailboxes(options.account);
      const page = await options.calls.messages(options.account, "INBOX", null);
      seen.push(page.items.length);
      log.push(
        `pass ${options.account} by ${options.there.user} in ${await stageOf(scope)}${options.expunge ? " expunging" : ""}${options.dryRun ? " dry" : ""}`,
      );
      assert.ok(boxes.some(box => box.name === "INBOX"));
      const mailbox = {
        ...{ mailbox: "INBOX", folder: "INBOX", found: 0, already: 0, copied_bytes: 0, gone: 0 },
        ...{ recognized: 0, flags_updated: 0, expunged: 0, removed_there: 0 },
        copied,
        failed,
      };
      const problems = failed > 0 ? [{ mailbox: "INBOX", uid: 1, reason: "too large" }] : [];
      return { mailboxes: [mailbox], problems, notes: [], changed: false, seconds: 0 };
    },
    async verify({ here, there, ignoreUids }) {
      log.push(`verify ${here.authorize} in ${await stageOf(scope)}`);
      assert.deepEqual([there.authorize, ignoreUids], [here.authorize, true]);
      return compared();
    },
  };
  return { log, seen, standalone: { transfer: async () => made } };
}
