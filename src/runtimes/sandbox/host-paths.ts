/**
 * What of this host a confined plugin sees: the programs and libraries of the system, our own Node, and of `/etc` what they need to
 * start. Nothing of `/etc` that names users, hosts or keys.
 */
import { existsSync, lstatSync, readlinkSync, realpathSync } from "node:fs";
import { findProgram } from "../script-child.ts";

/** Folder of the code, where a mount namespace shows it. */
export const CODE_FOLDER = "/plugin";
/** The plugin's own folder, there. */
export const WORK_FOLDER = "/work";

/** Besides `/usr`: links into it, or folders of their own on systems where the two are not one. */
const ROOTS = ["/bin", "/sbin", "/lib", "/lib32", "/lib64"];
/** The loader's cache; links such as `awk`; without this one file Node ends with code 13. */
const ETC = ["/etc/ld.so.cache", "/etc/alternatives", "/etc/ssl/openssl.cnf"];
/** Public certificates, for plugins that may reach something. */
export const CERTIFICATES = ["/etc/ssl/certs", "/etc/pki/tls/certs", "/etc/ca-certificates"];

export interface HostPaths {
  /** Shown as they are. */
  readonly folders: readonly string[];
  /** Path → what it points to. */
  readonly links: readonly (readonly [path: string, target: string])[];
  readonly files: readonly string[];
  /** The program of our own Node, where that is not under `/usr`. */
  readonly node: string | undefined;
}

export function hostPaths(): HostPaths {
  const roots = ROOTS.filter(path => existsSync(path));
  const isLink = (path: string) => lstatSync(path).isSymbolicLink();
  return {
    folders: ["/usr", ...roots.filter(path => !isLink(path))],
    links: roots.filter(isLink).map(path => [path, readlinkSync(path)] as const),
    files: ETC.filter(path => existsSync(path)),
    node: hiddenNode(realpathSync(process.execPath)),
  };
}

/** The one file: what lies around it may be anything, the home of the service, say. */
function hiddenNode(execPath: string): string | undefined {
  return execPath.startsWith("/usr/") ? undefined : execPath;
}

/** @returns why this command cannot run inside; undefined: its program is there to be seen */
export function hiddenProgram(
  spec: { readonly command: readonly string[]; readonly folder: string },
  { folders, node }: HostPaths,
): string | undefined {
  const program = findProgram(spec);
  if (program === undefined) return `there is no program "${spec.command[0] ?? ""}" that may be run`;
  const seen = [...folders, spec.folder, realpathSync(spec.folder)];
  const real = realpathSync(program);
  if (real === node) return undefined;
  if (seen.some(folder => real.startsWith(`${folder}/`))) return undefined;
  return `its program "${real}" lies where the sandbox shows nothing: only /usr and the plugin's own folder are seen`;
}

/** An argument that names a file of the code by its absolute path: as it is named inside. */
export function insideCode(argument: string, folder: string): string {
  return argument.startsWith(`${folder}/`) ? `${CODE_FOLDER}${argument.slice(folder.length)}` : argument;
}
