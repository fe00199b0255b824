/**
 * Makes the changes of a plan on the running servers: all or nothing. First everything that will be touched is copied into a new backup
 * folder; then each file is replaced as a whole; then both servers check what they read (`postfix check`, `doveconf -n`) and reload.
 * When any of it fails the files are put back as they were, and a server that had reloaded reads them again. A run that is killed between
 * the files and the reload is mended by the next one (`reload-due.ts`).
 */
import { mkdir, mkdtemp, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { MairustError, messageOf } from "../core/errors.ts";
import type { AppliedPlan, Quietly, SiteFile, SitePlaces, SitePlan } from "../wire/site-calls.ts";
import { dovecotArgs } from "./dovecot-read.ts";
import { reloadDovecot } from "./dovecot-reload.ts";
import { putText, readText } from "./files.ts";
import { postfixEnv } from "./postfix-read.ts";
import { reloadPostfix } from "./postfix-reload.ts";
import { dueReloads, setDueReloads } from "./reload-due.ts";
import { runCommand, tryCommand } from "./run-command.ts";
import { bringWaitingMail, scopesThatLeave } from "./waiting-mail.ts";

/** The backup may hold the password of the sidecar's IMAP listener. */
const BACKUP_MODE = 0o700;

/** @param quietly  what holds mail for Dovecot while it reloads */
export async function applyPlan(
  places: SitePlaces,
  plan: SitePlan,
  backupDir: string,
  quietly: Quietly,
): Promise<AppliedPlan> {
  const [obstacle] = plan.obstacles;
  if (obstacle !== undefined)
    throw new MairustError(
      "invalid_state",
      `Cannot set up "${plan.target.scope}": ${obstacle.what}; ${obstacle.fix}`,
    );
  const due = await dueReloads(backupDir);
  if (plan.files.length === 0 && due.length === 0)
    return { backup: "", changed: [], reloaded: [], notes: [] };
  for (const file of plan.files) await checkUnchanged(file);
  const applying: Applying = {
    ...{ places, plan, quietly, notes: [] },
    servers: [...new Set([...due, ...plan.files.map(({ server }) => server)])],
  };
  const backup = plan.files.length === 0 ? "" : await backUp(plan, backupDir);
  const leaving = scopesThatLeave(plan.files);
  if (leaving.length > 0 && (await isPostfixUp(postfixEnv(places.postfixDir))))
    applying.notes.push(...(await bringWaitingMail(places.postfixDir, leaving)));
  await setDueReloads(backupDir, applying.servers);
  const done: SiteFile[] = [];
  const reloaded: string[] = [];
  try {
    for (const file of plan.files) {
      done.push(file);
      await putText(file.path, file.text, file.mode);
    }
    await check(applying);
    await reload(applying, reloaded);
  } catch (error) {
    await takeBack(applying, done, reloaded, backup, error);
    await setDueReloads(backupDir, due);
    throw new MairustError(
      "invalid_state",
      `Cannot set up "${plan.target.scope}": ${messageOf(error)}\nNothing is changed: the files are as they were`,
      { cause: error },
    );
  }
  await setDueReloads(backupDir, []);
  return { backup, changed: plan.files.map(file => file.path), reloaded, notes: applying.notes };
}

async function checkUnchanged(file: SiteFile): Promise<void> {
  if ((await readText(file.path)) === file.was) return;
  throw new MairustError(
    "invalid_state",
    `Cannot change "${file.path}": it was changed meanwhile; make the plan again`,
  );
}

/** @returns a new folder: the files under their whole path, and `manifest.json` that says which were there. */
async function backUp(plan: SitePlan, backupDir: string): Promise<string> {
  await mkdir(backupDir, { recursive: true, mode: BACKUP_MODE });
  const stamp = new Date().toISOString().replace(/[-:]|\.\d+/gu, "");
  const dir = await mkdtemp(join(backupDir, `${stamp}-`));
  const { target } = plan;
  const files = plan.files.map(({ path, was }) => ({ path, existed: was !== undefined }));
  for (const { path, was } of plan.files) if (was !== undefined) await putText(join(dir, path), was, 0o600);
  await writeFile(join(dir, "manifest.json"), `${JSON.stringify({ target, files }, null, 2)}\n`, {
    mode: 0o600,
  });
  return dir;
}

async function check({ places, servers }: Applying): Promise<void> {
  if (servers.includes("dovecot")) await runCommand("doveconf", [...dovecotArgs(places.dovecotConfig), "-n"]);
  if (!servers.includes("postfix")) return;
  const env = postfixEnv(places.postfixDir);
  // `postfix check` passes over what only the daemons read: a parameter that cannot be expanded, a service that is none.
  await runCommand("postconf", ["-x"], env);
  await runCommand("postconf", ["-M"], env);
  await runCommand("postfix", ["check"], env);
}

/** Servers that do not run read their files when they start. */
async function reload({ places, plan, quietly, servers, notes }: Applying, done: string[]): Promise<void> {
  const dovecot = dovecotArgs(places.dovecotConfig);
  const run = async (file: string, args: readonly string[], env: Readonly<Record<string, string>>) => {
    await runCommand(file, args, env);
    done.push(`${file} ${args.join(" ")}`);
  };
  if (servers.includes("dovecot") && (await isDovecotUp(dovecot))) {
    // Files of accounts are read at each login, but an answer from before may be remembered.
    const own = plan.files.filter(file => file.server === "dovecot");
    const onlyUsers = own.length > 0 && own.every(file => file.path.includes("/users/"));
    if (onlyUsers) await run("doveadm", [...dovecot, "auth", "cache", "flush"], {});
    else {
      await quietly(() => reloadDovecot(dovecot));
      done.push(`doveadm ${[...dovecot, "reload"].join(" ")}`);
    }
    await kick(dovecot, plan, done);
  }
  const env = postfixEnv(places.postfixDir);
  if (!servers.includes("postfix") || !(await isPostfixUp(env))) return;
  const masterCf = plan.files.find(file => file.server === "postfix" && file.path.endsWith("/master.cf"));
  notes.push(...(await reloadPostfix(places.postfixDir, masterCf, () => done.push("postfix reload"))));
}

/** Sessions that are open keep the mailbox they began with. */
async function kick(dovecot: readonly string[], plan: SitePlan, done: string[]): Promise<void> {
  if (!plan.files.some(file => file.server === "dovecot" && file.path.includes("/users/"))) return;
  const { scope } = plan.target;
  const args = [...dovecot, "kick", scope.includes("@") ? scope : `*@${scope}`];
  const result = await tryCommand("doveadm", args);
  // 68: nobody is logged in.
  if (result?.code === 0) done.push(`doveadm ${args.join(" ")}`);
}

async function isDovecotUp(args: readonly string[]): Promise<boolean> {
  const result = await tryCommand("doveadm", [...args, "service", "status"]);
  return result?.code === 0;
}

async function isPostfixUp(env: Readonly<Record<string, string>>): Promise<boolean> {
  const result = await tryCommand("postfix", ["status"], env);
  return result?.code === 0;
}

interface Applying {
  readonly places: SitePlaces;
  readonly plan: SitePlan;
  readonly quietly: Quietly;
  /** That are to read their files anew. */
  readonly servers: readonly SiteFile["server"][];
  /** For people; grows. */
  readonly notes: string[];
}

/** Before and after in each other's place: what came with the change goes as gently as what it took away would have. */
const turned = (file: SiteFile): SiteFile => ({ ...file, was: file.text, text: file.was });

async function takeBack(
  applying: Applying,
  done: readonly SiteFile[],
  reloaded: readonly string[],
  backup: string,
  cause: unknown,
): Promise<void> {
  const { plan } = applying;
  try {
    for (const file of [...done].reverse()) await putText(file.path, file.was, file.mode);
    if (reloaded.length > 0) await reload({ ...applying, plan: { ...plan, files: done.map(turned) } }, []);
  } catch (error) {
    throw new MairustError(
      "internal",
      `Cannot set up "${plan.target.scope}": ${messageOf(cause)}\nCannot take it back either: ${messageOf(error)}. The files as they were are in ${backup}`,
      { cause: error },
    );
  }
}
