/**
 * Stage `hooks`: smtp-source → Postfix → our service → Dovecot's LMTP until the queue is empty, against Postfix → Dovecot without us.
 * Once with the LMTP route alone, once with the milter too, as the stage has it, and once more with senders checked; no plugin runs.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { startDovecot } from "../../src/mailhost/dovecot.ts";
import { type Postfix, startPostfix } from "../../src/mailhost/postfix.ts";
import { makeScratch } from "../../src/mailhost/scratch.ts";
import { deadlineAfter } from "../../src/platform/deadline.ts";
import { type Sidecar, startSidecar } from "../lib/sidecar.ts";
import { END_TO_END, through } from "./end-to-end.ts";
import { interleave, ratioOf, report } from "./lib/rounds.ts";
import { ACCOUNTS, address, DOMAIN } from "./lib/targets.ts";

const START_MS = 90_000;
const ROUNDS = 5;
/** As in `end-to-end.ts`. */
const WARM_UPS = 6;

export async function benchStageHooks(): Promise<void> {
  const scratch = await makeScratch();
  const deadline = deadlineAfter(START_MS);
  const folder = async (name: string) => {
    await mkdir(join(scratch.dir, name));
    return join(scratch.dir, name);
  };
  const users = Array.from({ length: ACCOUNTS }, (_, i) => ({ address: address(i), password: "secret" }));
  const dovecot = await startDovecot({ dir: await folder("d"), mode: { kind: "maildir" }, users }, deadline);
  const hop = `inet:127.0.0.1:${dovecot.lmtpPort ?? 0}`;
  const postfix = async (name: string, more: { nextHop?: string; milter?: "store" }): Promise<Postfix> =>
    startPostfix(
      { dir: await folder(name), domains: [DOMAIN], settings: { in_flow_delay: "0" }, ...more },
      deadline,
    );
  const direct = await postfix("p", { nextHop: hop });
  const service = async (name: string, by: Postfix, more: string): Promise<Sidecar> =>
    startSidecar({
      dir: await folder(name),
      domain: DOMAIN,
      logLevel: "warn",
      lmtpListen: [`unix:${by.lmtpSocket}`],
      lmtp: 'socket_group = "postfix"',
      milterListen: `unix:${by.milterSocket}`,
      milter: 'socket_group = "postfix"',
      // The first two belong to the domain's table, which the base ends with.
      toml: `stage = "hooks"\nrelay.lmtp = ${JSON.stringify(hop)}\n${more}`,
    });
  const whole = await postfix("m", { milter: "store" });
  const sidecar = await service("s", whole, "[sender_auth]\nchecks = []\n");
  const checking = await postfix("c", { milter: "store" });
  const checker = await service("t", checking, "");
  const relayed = await postfix("r", { nextHop: `inet:127.0.0.1:${sidecar.lmtpPort}` });
  deadline.dispose();
  try {
    const subjects = [
      through("hooks", relayed),
      through("hooks and milter", whole),
      through("hooks, milter, senders checked", checking),
      through("dovecot", direct),
    ];
    const [lmtp, both, checked, without] = await interleave(subjects, ROUNDS, WARM_UPS);
    report("stage-hooks", {
      ...END_TO_END,
      mairust: lmtp,
      mairust_with_milter: both,
      mairust_with_checks: checked,
      dovecot: without,
      ...ratioOf(lmtp, without),
      with_milter: ratioOf(both, without),
      with_checks: ratioOf(checked, without),
      must: 0.8,
    });
  } finally {
    for (const one of [direct, whole, checking, relayed]) await one.stop();
    await sidecar.stop();
    await checker.stop();
    await dovecot.stop();
    await scratch.remove();
  }
}
