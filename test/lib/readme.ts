/** The README's code blocks, for tests that do what it says. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { packageRoot } from "../../src/platform/package-root.ts";
import { MAIN } from "./sidecar.ts";

/** Its section that {@link TEN_MINUTES} names has a test of its own. */
export const TEN_MINUTES = "Refuse or tag mail with your own script, in ten minutes";

/** @returns the text below `## title`, up to the next section */
export function readmeSection(title: string): string {
  const section = sections().find(one => one.startsWith(`${title}\n`));
  if (section === undefined) throw new Error(`README.md has no section "${title}"`);
  return section;
}

/** @returns all of it but the sections with these titles */
export function readmeWithout(...titles: readonly string[]): string {
  return sections()
    .filter(section => !titles.some(title => section.startsWith(`${title}\n`)))
    .join("\n");
}

function sections(): readonly string[] {
  return readFileSync(join(packageRoot(), "README.md"), "utf8").split(/^## /mu);
}

/** Fenced blocks of one language, without their indentation. */
export function blocks(markdown: string, language: string): readonly string[] {
  const fenced = new RegExp(`^( *)\`\`\`${language}\\n([\\s\\S]*?)^ *\`\`\``, "gmu");
  return [...markdown.matchAll(fenced)].map(([, indent = "", body = ""]) =>
    body.replace(new RegExp(`^${indent}`, "gmu"), ""),
  );
}

/** A folder for PATH, made below `dir`, with an `npx` that runs what npx finds here, without the seconds that npx takes to find it. */
export function quickNpx(dir: string): string {
  const bin = join(dir, "bin");
  mkdirSync(bin);
  const program = `#!/bin/sh\n[ "$1" = mairust ] && shift && exec "${process.execPath}" "${MAIN}" "$@"\n`;
  writeFileSync(join(bin, "npx"), program, { mode: 0o755 });
  return bin;
}

/** Lines of the `sh` blocks. */
export function commandLines(markdown: string): readonly string[] {
  return blocks(markdown, "sh").flatMap(block => block.split("\n").filter(line => line !== ""));
}
