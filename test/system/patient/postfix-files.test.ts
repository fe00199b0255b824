/** The scripts of `postfix/` for the milter, alone and with those of the stage: what they set, and that they take all of it back. */
import assert from "node:assert/strict";
import { mkdir, readdir, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { runCommand } from "../../../src/mailhost/command.ts";
import { makeScratch } from "../../../src/mailhost/scratch.ts";
import { packageRoot } from "../../../src/platform/package-root.ts";

const scratch = await makeScratch();
after(() => scratch.remove());

const OURS = "unix:mairust/milter.sock";

/** Verb and script by one word each. */
const STEPS: Readonly<Record<string, readonly string[]>> = {
  stage: ["stage-store.apply"],
  "no stage": ["stage-store.undo"],
  observe: ["milter.apply", "observe"],
  store: ["milter.apply", "store"],
  "no milter": ["milter.undo"],
};

for (const [name, lines] of [
  [
    "with milters of its own",
    "smtpd_milters = inet:127.0.0.1:8891\nnon_smtpd_milters = $smtpd_milters\nenable_long_queue_ids = no\n",
  ],
  ["without milters", "biff = no\n"],
  ["with an empty setting", "smtpd_milters =\nenable_long_queue_ids = yes\n"],
] as const) {
  for (const steps of [
    ["observe", "store", "store", "no milter"],
    ["stage", "store", "no milter", "no stage"],
    ["stage", "store", "no stage", "no milter"],
    ["observe", "stage", "no milter", "no stage"],
    ["observe", "stage", "no stage", "no milter"],
  ]) {
    test(`a Postfix ${name} is what it was, byte for byte, after: ${steps.join(", ")}`, async () => {
      const dir = join(scratch.dir, "instance");
      await mkdir(dir);
      try {
        await writeFile(
          join(dir, "main.cf"),
          `compatibility_level = 3.6\n${lines}mydestination = localhost\n`,
        );
        await writeFile(join(dir, "master.cf"), "smtp inet n - y - - smtpd\nlmtp unix - - y - - lmtp\n");
        await writeFile(join(dir, "mairust-transport"), "a.test mairust:unix:mairust/lmtp.sock\n");
        const run = async (file: string, ...args: readonly string[]) => {
          // Postfix waits until main.cf is more than a second old.
          await utimes(join(dir, "main.cf"), new Date(0), new Date(0));
          return runCommand(file, args, { env: { MAIL_CONFIG: dir } });
        };
        const shown = async () => ({
          text: `${await run("postconf", "-n")}${await run("postconf", "-M")}`,
          names: await readdir(dir),
        });
        const before = await shown();
        const file = await readFile(join(dir, "main.cf"), "utf8");
        for (const step of steps) {
          const [script = "", ...args] = STEPS[step] ?? [];
          await run("sh", join(packageRoot(), "postfix", script), ...args);
          if (!step.startsWith("no "))
            assert.equal((await run("postconf", "-hx", "enable_long_queue_ids")).trim(), "yes");
          if (step === "store" || step === "observe") await checkMilters(run, step, lines);
          if (step === "no stage" && steps.at(-1) === "no milter")
            await checkMilters(run, steps.includes("store") ? "store" : "observe", lines);
        }
        assert.deepEqual(await shown(), before);
        assert.equal(
          (await readFile(join(dir, "main.cf"), "utf8")).replace(/\s+/g, " "),
          file.replace(/\s+/g, " "),
        );
        await assert.rejects(run("sh", join(packageRoot(), "postfix", "milter.undo")), /nothing to undo/u);
      } finally {
        await rm(dir, { recursive: true });
      }
    });
  }
}

async function checkMilters(
  run: (file: string, ...args: readonly string[]) => Promise<string>,
  stage: string,
  lines: string,
): Promise<void> {
  const action = stage === "store" ? "tempfail" : "accept";
  for (const name of ["smtpd_milters", "non_smtpd_milters"]) {
    const value = (await run("postconf", "-hx", name)).trim();
    assert.match(value, new RegExp(`\\{ ${OURS}, .*default_action=${action} \\}$`, "u"), "ours is the last");
    assert.equal(value.startsWith("inet:127.0.0.1:8891 "), lines.includes("8891"), value);
    assert.equal(value.split(OURS).length, 2, value);
  }
}

test("a stage that there is no file for is refused", async () => {
  const script = join(packageRoot(), "postfix", "milter.apply");
  for (const args of [[], ["mirror"]])
    await assert.rejects(runCommand("sh", [script, ...args], {}), /usage/u);
});
