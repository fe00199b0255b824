/**
 * Dovecot's Sieve for a private Dovecot: the modules of `test/setup-host peers` beside those of the host, which stay as they are, and the
 * settings that the head of `dovecot/mairust-folder.sieve` tells an operator to make, read from there.
 */
import { mkdir, readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { MAIL_UID } from "../../src/mailhost/dovecot-config.ts";
import { packageRoot } from "../../src/platform/package-root.ts";
import { findPeer, type Peer } from "./peers.ts";

const RULE = "mairust-folder.sieve";
const SIEVE_MODULE = "lib90_sieve_plugin.so";

export interface Pigeonhole {
  /** Lines of dovecot.conf. */
  readonly settings: string;
  /** What the head of the rule says: the copy with the secret goes beside Dovecot's configuration and is compiled. */
  installRule(dataDir: string, dovecotConfig: string): Promise<void>;
  /** Where the installed rule, with this separator, would file mail for a folder. Nothing is stored. */
  wouldFile(folder: string, separator: string, dovecotConfig: string): Promise<string>;
}

/** @param dir  for Dovecot alone. @returns undefined where it is not there. @throws {Error} in CI, where that is a failure */
export async function findPigeonhole(dir: string): Promise<Pigeonhole | undefined> {
  const peer = await findPeer("pigeonhole");
  if (peer === undefined) return undefined;
  await mkdir(dir, { recursive: true });
  const head = await ruleHead();
  const place = (text: string) => text.replaceAll("/etc/dovecot/", `${dir}/`);
  const settings = head.slice(
    0,
    head.findIndex(line => /^install /u.test(line)),
  );
  return {
    settings: `
mail_plugin_dir = ${await modules(peer, dir)}
import_environment = $import_environment LD_LIBRARY_PATH=${libraries(peer)}
${place(settings.join("\n"))}
`,
    async installRule(dataDir, dovecotConfig) {
      for (const line of head.filter(one => /^(?:install|sievec) /u.test(one))) {
        const [program = "", ...words] = place(line)
          .replace("/var/lib/mairust/", `${dataDir}/`)
          .replace(" vmail ", ` ${MAIL_UID} `)
          .split(" ");
        if (program === "install") await execa(program, words);
        else await run(peer, program, ["-c", dovecotConfig, ...words]);
      }
    },
    async wouldFile(folder, separator, dovecotConfig) {
      const [rule, mail] = [join(dir, "changed.sieve"), join(dir, "message")];
      const installed = await readFile(join(dir, RULE), "utf8");
      const secret = / "(\S+) \*" /u.exec(installed)?.[1];
      await writeFile(rule, installed.replace('set "separator" "/"', `set "separator" "${separator}"`));
      await writeFile(mail, `X-MaiRust-Folder: ${secret}\r\n ${folder}\r\n\r\nbody\r\n`);
      const said = await run(peer, "sieve-test", ["-c", dovecotConfig, rule, mail]);
      return /^ \* store message in folder: (.*)$/mu.exec(said)?.[1] ?? said;
    },
  };
}

async function run(peer: Peer, program: string, args: readonly string[]): Promise<string> {
  const env = { LD_LIBRARY_PATH: libraries(peer) };
  const { stdout } = await execa(join(peer.dir, "usr/bin", program), args, { env });
  return stdout;
}

const libraries = (peer: Peer) => join(peer.dir, "usr/lib/dovecot");

/** The lines of the head that are set in, which are configuration and commands. */
async function ruleHead(): Promise<readonly string[]> {
  const text = await readFile(join(packageRoot(), "dovecot", RULE), "utf8");
  return text.split("\n").flatMap(line => /^# {3}(.*)$/u.exec(line)?.[1] ?? []);
}

/** Dovecot reads modules from one folder. */
async function modules(peer: Peer, dir: string): Promise<string> {
  const { stdout: hosts } = await execa("doveconf", ["-d", "-h", "mail_plugin_dir"]);
  const folder = join(dir, "modules");
  await mkdir(folder);
  for (const name of await readdir(hosts)) await symlink(join(hosts, name), join(folder, name));
  await symlink(join(libraries(peer), "modules", SIEVE_MODULE), join(folder, SIEVE_MODULE)).catch(error => {
    // The host has Sieve itself.
    if (error.code !== "EEXIST") throw error;
  });
  return folder;
}
