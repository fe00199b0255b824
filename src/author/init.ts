/**
 * `plugin init`: a project that works from the first minute, from the templates in `plugins/sdk/templates`, with the SDK beside it. Asks
 * nothing, writes over nothing.
 */
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { MairustError } from "../core/errors.ts";
import { packageRoot } from "../platform/package-root.ts";
import { parseManifest } from "../plugins/manifest.ts";
import type { InitOptions, InitReport, SampleInfo } from "../wire/author-calls.ts";
import { PLUGIN_ID_PATTERN } from "../wire/manifest.ts";

export const LANGUAGES = ["node", "python"] as const;
type Language = (typeof LANGUAGES)[number];
/** Asked for by name, and to come. */
const LATER = ["go", "rust"];

export const KINDS: readonly SampleInfo[] = [
  { name: "classify", description: "says what kind of mail it is" },
  { name: "tag", description: "tags mail by a rule" },
  { name: "notify", description: "tells a web server of new mail" },
  { name: "dlp", description: "holds mail that must not leave" },
];

interface Parts {
  readonly program: string;
  readonly sdk: string;
  readonly command: readonly string[];
}

const PARTS: Readonly<Record<Language, Parts>> = {
  node: { program: "main.mjs", sdk: "mairust.mjs", command: ["node", "main.mjs"] },
  python: { program: "main.py", sdk: "mairust.py", command: ["python3", "main.py"] },
};

/** @throws {MairustError} `not_built`, `invalid_argument`, `already_exists` */
export async function initPlugin(options: InitOptions): Promise<InitReport> {
  const { lang, kind, dryRun } = options;
  const language = LANGUAGES.find(known => known === lang);
  if (language === undefined) throw refusedLanguage(lang);
  if (!KINDS.some(({ name }) => name === kind))
    throw refused(`there is no kind "${kind}"; there are ${KINDS.map(({ name }) => name).join(", ")}`);
  const folder = resolve(options.target);
  const name = basename(folder);
  const id = options.id ?? `com.example.${idPart(name)}`;
  if (!new RegExp(PLUGIN_ID_PATTERN, "u").test(id) || id.startsWith("mairust."))
    throw refused(`"${id}" is no id: a reverse DNS name such as com.example.my-filter, not below mairust.`);
  await checkEmpty(folder);
  const files = await projectFiles(language, kind, { id, name });
  if (!dryRun) {
    for (const [path, content] of files) {
      await mkdir(dirname(join(folder, path)), { recursive: true });
      // Somebody may have been faster: nothing is written over.
      await writeFile(join(folder, path), content, { flag: "wx" });
    }
  }
  return { folder: options.target, id, files: [...files.keys()].sort() };
}

function refused(why: string): MairustError {
  return new MairustError("invalid_argument", `Cannot make a plugin: ${why}`);
}

function refusedLanguage(lang: string): MairustError {
  if (LATER.includes(lang))
    return new MairustError(
      "not_built",
      `Cannot make a plugin in ${lang}: it is not built in this version; there are ${LANGUAGES.join(", ")}`,
    );
  return refused(`there is no language "${lang}"; there are ${LANGUAGES.join(", ")}`);
}

/** What of a name may stand in an id. */
function idPart(name: string): string {
  return (
    name
      .toLowerCase()
      .replace(/[^a-z0-9]+/gu, "-")
      .replace(/^-+|-+$/gu, "") || "plugin"
  );
}

async function checkEmpty(folder: string): Promise<void> {
  const there = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    if (error.code === "ENOTDIR")
      throw new MairustError("already_exists", `Cannot make a plugin in "${folder}": it is a file`);
    throw error;
  });
  if (there.length > 0) {
    const some = there.slice(0, 3).join(", ");
    throw new MairustError(
      "already_exists",
      `Cannot make a plugin in "${folder}": it is not empty (${some})`,
    );
  }
}

interface Named {
  readonly id: string;
  readonly name: string;
}

/** Path → content. */
async function projectFiles(
  language: Language,
  kind: string,
  named: Named,
): Promise<ReadonlyMap<string, Buffer>> {
  const sdk = join(packageRoot(), "plugins/sdk");
  const template = join(sdk, "templates", kind);
  const { program, sdk: sdkFile } = PARTS[language];
  const manifest = manifestOf(await readFile(join(template, "plugin.toml"), "utf8"), language, named);
  const { description = "" } = await parseManifest(manifest, "plugin.toml");
  const readme = readmeOf(
    await readFile(join(sdk, "templates/README.md"), "utf8"),
    language,
    named,
    description,
  );
  const files = new Map<string, Buffer>([
    ["plugin.toml", Buffer.from(manifest)],
    ["README.md", Buffer.from(readme)],
    [program, await readFile(join(template, program))],
    [sdkFile, await readFile(join(sdk, language, sdkFile))],
  ]);
  for (const file of await readdir(join(template, "fixtures")))
    files.set(`fixtures/${file}`, await readFile(join(template, "fixtures", file)));
  return files;
}

function manifestOf(template: string, language: Language, { id, name }: Named): string {
  const command = PARTS[language].command.map(word => JSON.stringify(word)).join(", ");
  return template
    .replace(/^id = .*$/mu, () => `id = ${JSON.stringify(id)}`)
    .replace(/^name = .*$/mu, () => `name = ${JSON.stringify(name)}`)
    .replace(/^command = .*$/mu, () => `command = [${command}]`);
}

function readmeOf(template: string, language: Language, { name }: Named, description: string): string {
  const { program, sdk } = PARTS[language];
  return template
    .replace("# Name", () => `# ${name}`)
    .replace("Description.", () => `${description}.`)
    .replace("| Program |", () => `| \`${program}\` |`)
    .replace("| SDK |", () => `| \`${sdk}\` |`);
}
