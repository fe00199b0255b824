/** Servers that tests run unpacked, not installed: where `test/setup-host peers` put them, and what their programs need. */
import { access, constants, readdir } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { packageRoot } from "../../src/platform/package-root.ts";
import { notHere } from "./not-here.ts";

export interface Peer {
  /** Its packages' root folder. */
  readonly dir: string;
  readonly program: string;
  /** Its own libraries, for LD_LIBRARY_PATH. */
  readonly libraries: string;
}

const PROGRAMS = {
  sendmail: "usr/libexec/sendmail/sendmail",
  rspamd: "usr/bin/rspamd",
  /** dkimpy, pyspf and authheaders, as modules of Python. */
  senderauth: "usr/bin/dkimverify",
  /** Dovecot's Sieve: modules and libraries for the host's Dovecot. */
  pigeonhole: "usr/bin/sievec",
} as const;
export type PeerName = keyof typeof PROGRAMS;

/** @returns undefined when it is not there. @throws {Error} in CI, where a missing one is a failure */
export async function findPeer(name: PeerName): Promise<Peer | undefined> {
  const { stdout: dir } = await execa(join(packageRoot(), "test/setup-host"), ["where", name]);
  const program = join(dir, PROGRAMS[name]);
  try {
    await access(program, constants.X_OK);
  } catch {
    notHere(`${name} is not unpacked: test/setup-host peers`);
    return undefined;
  }
  const below = await readdir(join(dir, "usr/lib")).catch(() => []);
  const libraries = below.map(entry => join(dir, "usr/lib", entry)).join(":");
  return { dir, program, libraries };
}
