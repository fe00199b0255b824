/**
 * A real Postfix whose way to the sidecar is taken out of `master.cf` while a message is handed over there: it is answered, and goes
 * nowhere else. When the service went at once, master would end the process that hands it over, and the message would go the other way too.
 */
import assert from "node:assert/strict";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { startPostfix } from "../../src/mailhost/postfix.ts";
import { makeScratch } from "../../src/mailhost/scratch.ts";
import { deadlineAfter, sleep } from "../../src/platform/deadline.ts";
import { applyPlan } from "../../src/site/apply.ts";
import { putService, removeService } from "../../src/site/master-cf.ts";
import type { SiteFile } from "../../src/wire/site-calls.ts";
import { LmtpHop } from "../lib/lmtp-hop.ts";
import { MailDialog } from "../lib/mail-dialog.ts";
import { atOnce } from "../lib/site-hosts.ts";

const SERVICE = "mairust unix - - n - - lmtp\n";
const ALL_MS = 60_000;

test("a message that is being handed over when its way is taken away is answered there, and goes nowhere else", async t => {
  const scratch = await makeScratch();
  const end = deadlineAfter(ALL_MS);
  await mkdir(join(scratch.dir, "p"));
  const [here, there] = [await LmtpHop.start(), await LmtpHop.start()];
  const postfix = await startPostfix(
    {
      dir: join(scratch.dir, "p"),
      domains: ["a.test"],
      bare: true,
      settings: {
        virtual_transport: `lmtp:${there.server}`,
        lmtp_tls_security_level: "none",
        mairust_transport_maps: `inline:{a.test=mairust:${here.server}}`,
      },
    },
    end,
  );
  t.after(async () => {
    await postfix.stop();
    await here.stop();
    await there.stop();
    end.dispose();
    await scratch.remove();
  });
  const places = { postfixDir: postfix.configDir };
  const fileOf = async (name: string, change: (text: string) => string): Promise<SiteFile> => {
    const path = join(postfix.configDir, name);
    const was = await readFile(path, "utf8");
    return { server: "postfix", path, was, text: change(was), mode: 0o644 };
  };
  const apply = (files: readonly SiteFile[]) =>
    applyPlan(
      places,
      {
        target: { scope: "a.test", stage: "observe" },
        ...{ changes: [], undo: [], obstacles: [], files },
      },
      join(scratch.dir, "backup"),
      atOnce,
    );
  const route = "transport_maps = $mairust_transport_maps\n";
  await apply([
    await fileOf("master.cf", text => putService(text, "mairust", "unix", SERVICE)),
    await fileOf("main.cf", text => text + route),
  ]);
  // It comes together with the message's end.
  here.behaviour.onCommand = line => (line === "QUIT" ? "silent" : undefined);
  const late: (() => void)[] = [];
  here.behaviour.onMessage = () => {
    late.push(() => here.answer("250 2.0.0 saved"));
    return ["silent"];
  };
  const dialog = await MailDialog.open(postfix.smtpPort, "smtp");
  const [taken] = await dialog.submit({
    from: "s@example.org",
    to: ["ann@a.test"],
    message: Buffer.from("Subject: one\r\n\r\ntext\r\n"),
  });
  assert.match(taken ?? "", /^250/u);
  dialog.close();
  while (late.length === 0) await sleep(10, end.signal);
  const applying = apply([
    await fileOf("master.cf", text => removeService(text, "mairust", "unix")),
    await fileOf("main.cf", text => text.replace(route, "")),
  ]);
  while ((await postfix.log()).filter(line => line.includes("reload --")).length < 2)
    await sleep(20, end.signal);
  late[0]?.();
  await applying;
  await postfix.flush();
  await postfix.waitQueueEmpty(end);
  assert.deepEqual([here.messages.length, there.messages.length], [1, 0]);
  assert.doesNotMatch(await readFile(join(postfix.configDir, "master.cf"), "utf8"), /^mairust/mu);
});
