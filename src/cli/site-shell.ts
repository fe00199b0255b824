/** What is to change at Postfix and Dovecot, as commands that a person would type. */
import type { SiteChange } from "../wire/site-calls.ts";
import { printable } from "./text.ts";

/** @param mark  in front of each command: what undoes is not pasted by accident */
export function siteShell(changes: readonly SiteChange[], mark = ""): string {
  const servers = [...new Set(changes.map(change => change.server))];
  const lines = changes.flatMap(({ file, why, commands }) => [
    `# ${file}${why === "" ? "" : `: ${why}`}`,
    ...commands.map(command => `${mark}${command}`),
  ]);
  const reload = servers.map(server =>
    server === "postfix"
      ? `${mark}postfix check && postfix reload`
      : `${mark}doveconf -n >/dev/null && doveadm reload`,
  );
  return [...lines, ...reload].map(line => `${printable(line)}\n`).join("");
}
