/** Maildirs that tests make: files as an MDA writes them, and Dovecot's list of UIDs. */
import { mkdirSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export interface MadeMessage {
  readonly name: string;
  readonly content: string | Buffer;
  readonly seconds?: number;
}

export class TestMaildir {
  readonly dir: string;

  constructor(dir: string) {
    this.dir = dir;
    this.folder("");
  }

  /** @param folder  "" or `.A.B` */
  folder(folder: string): string {
    const path = join(this.dir, folder);
    for (const sub of ["cur", "new", "tmp"]) mkdirSync(join(path, sub), { recursive: true });
    return path;
  }

  /** @returns the path */
  add(folder: string, { name, content, seconds = 1_600_000_000 }: MadeMessage): string {
    const path = join(this.folder(folder), name.includes(":2,") ? "cur" : "new", name);
    writeFileSync(path, content);
    utimesSync(path, seconds, seconds);
    return path;
  }

  /** UIDs by base name. */
  list(folder: string, uidValidity: number, uidNext: number, uids: Readonly<Record<string, number>>): void {
    const lines = Object.entries(uids).map(([base, uid]) => `${uid} :${base}\n`);
    const header = `3 V${uidValidity} N${uidNext} G${"0".repeat(32)}\n`;
    writeFileSync(join(this.folder(folder), "dovecot-uidlist"), header + lines.join(""));
  }

  /** `count` small messages with UIDs from 1. @returns their base names */
  fill(folder: string, count: number, bodyBytes = 500): readonly string[] {
    const names = Array.from({ length: count }, (_, i) => `${1_600_000_000 + i}.M${i}P1.fill`);
    for (const [i, name] of names.entries())
      this.add(folder, {
        name: `${name}:2,${i % 2 === 0 ? "S" : ""}`,
        content: `Subject: message ${i}\nMessage-ID: <${i}@fill.test>\n\n${`${i} `.repeat(bodyBytes / 5)}\n`,
        seconds: 1_600_000_000 + i,
      });
    this.list(folder, 77, count + 1, Object.fromEntries(names.map((name, i) => [name, i + 1])));
    return names;
  }
}
