/** Plugins for tests of their life: folders and packages, signed or not, whose processes say where they run. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readPrivateKey } from "../../src/plugins/package/keys.ts";
import { readPackage } from "../../src/plugins/package/read.ts";
import { packFolder, signPackage } from "../../src/plugins/package/write.ts";

export interface MadePlugin {
  readonly id: string;
  readonly version?: string;
  readonly permissions?: string;
  /** More of the program: other bytes of the same version. */
  readonly more?: string;
  /** Private key of its developer, PEM. */
  readonly developer?: string;
}

export class LifePlugins {
  readonly #root: string;
  #made = 0;

  /** @param root  a temporary folder */
  constructor(root: string) {
    this.#root = root;
  }

  write(folder: string, { id, version = "1.0.0", permissions, more = "" }: MadePlugin): void {
    const rights = permissions ?? "read_headers = true\nwrite_tags = true";
    mkdirSync(join(folder, "server"), { recursive: true });
    writeFileSync(
      join(folder, "plugin.toml"),
      `id = "${id}"\nname = "Life"\nversion = "${version}"\n[entry]\ntype = "hook"\nprotocol = "script"\n` +
        `command = ["node", "server/main.mjs"]\n[hooks]\non = ["pre_delivery"]\n[permissions]\n${rights}\n`,
    );
    writeFileSync(join(folder, "server", "main.mjs"), `${this.#program(id, version)}${more}`);
  }

  /** @returns the package's file */
  async pack(made: MadePlugin): Promise<string> {
    const folder = join(this.#root, `source${this.#made++}`);
    this.write(folder, made);
    const { bytes } = await packFolder(folder);
    const { developer } = made;
    const signed =
      developer === undefined
        ? bytes
        : (await signPackage(await readPackage(bytes), readPrivateKey(developer), "developer")).bytes;
    const file = `${folder}.mairust-plugin`;
    writeFileSync(file, signed);
    return file;
  }

  /** Processes of a plugin that run, of all services. One that ended and that nobody asked for yet has no command line any more. */
  pids(id: string): readonly number[] {
    const folder = join(this.#root, "pids", id);
    if (!existsSync(folder)) return [];
    return readdirSync(folder)
      .map(Number)
      .filter(pid => commandLine(pid).includes("server/main.mjs"));
  }

  #program(id: string, version: string): string {
    const pids = JSON.stringify(join(this.#root, "pids", id));
    return `import { mkdirSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
mkdirSync(${pids}, { recursive: true });
writeFileSync(${pids} + "/" + process.pid, "");
for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  if (request.mairust) console.log(JSON.stringify({ mairust: 1, plugin: "${id}", version: "${version}", api: ["1"] }));
  else if (request.health) console.log(JSON.stringify({ status: "ok" }));
  else console.log(JSON.stringify({ call_id: request.call_id }));
}
`;
  }
}

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "latin1");
  } catch {
    return "";
  }
}
