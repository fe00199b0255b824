/** The prompt-injection corpus of the sample `python-ai-classifier`: mail that talks to the model. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pluginFolder } from "./plugin-fixtures.ts";

export interface Injection {
  readonly lang: string;
  readonly from: string;
  readonly subject: string;
  readonly text: string;
  /** Category that the sender asks for. */
  readonly wants: string;
}

const file = join(pluginFolder("python-ai-classifier"), "corpus/injections.jsonl");

export const injections: readonly Injection[] = readFileSync(file, "utf8")
  .trimEnd()
  .split("\n")
  .map(line => JSON.parse(line));
