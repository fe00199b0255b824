/** `mairust plugin review`: what a plugin asks for, through the API. */
import { processEnvironment } from "../../platform/config/environment.ts";
import type { ReviewBody } from "../../wire/api/plugin-review.ts";
import { connect, segment } from "../client.ts";
import type { CommandContext } from "../command.ts";
import { usageError } from "../exit-codes.ts";
import { requiredArg } from "../numbers.ts";
import { printable, printableJson } from "../text.ts";

/** Without -f json the text that people read, whatever it is piped into. */
export async function review({ args, options, terminal, format, load }: CommandContext): Promise<void> {
  const id = requiredArg(args, 0, "the plugin's id");
  const lang = options.text("lang") ?? shellLanguage(load.env ?? processEnvironment());
  if (lang !== "en" && lang !== "ja") throw usageError(`--lang takes en or ja, not "${lang}"`);
  const { client } = await connect(load);
  const path = `/api/v1/admin/plugins/${segment(id)}/review`;
  const { body } = await client.get<ReviewBody>(path, { query: { lang } });
  if (format === "json") terminal.out(`${printableJson(body, 2)}\n`);
  else if (format === "jsonl") terminal.out(`${printableJson(body)}\n`);
  else terminal.out(body.lines.map(line => `${printable(line)}\n`).join(""));
}

/** As POSIX orders them: LC_ALL, LC_MESSAGES, LANG. */
function shellLanguage(env: Readonly<Record<string, string | undefined>>): "en" | "ja" {
  const locale = [env.LC_ALL, env.LC_MESSAGES, env.LANG].find(one => one !== undefined && one !== "") ?? "";
  return /^ja(?:[_.@-]|$)/u.test(locale) ? "ja" : "en";
}
