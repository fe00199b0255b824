/** Numeric ids of a system user, from `/etc/passwd` through getent(1), which also asks the other sources of the host. */
import { execa } from "execa";
import { MairustError } from "../core/errors.ts";

/** @throws {MairustError} `not_found` the host has no such user */
export async function systemUser(name: string): Promise<{ readonly uid: number; readonly gid: number }> {
  const { stdout } = await execa("getent", ["passwd", name], { reject: false });
  const fields = stdout?.split(":") ?? [];
  const uid = Number(fields[2]);
  const gid = Number(fields[3]);
  if (fields[0] !== name || !Number.isInteger(uid) || !Number.isInteger(gid)) {
    throw new MairustError(
      "not_found",
      `Cannot find system user "${name}": is its package installed? (test/setup-host mail)`,
    );
  }
  return { uid, gid };
}
