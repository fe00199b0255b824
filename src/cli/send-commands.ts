/** The commands for mail that goes out, as `commands.ts` has the others. */
import type { CommandSpec, Handler } from "./command.ts";

const send = (pick: (m: typeof import("./commands/send.ts")) => Handler) => async () =>
  pick(await import("./commands/send.ts"));

export const SEND_COMMANDS: readonly CommandSpec[] = [
  {
    usage: "send",
    summary: "send a mail from an account here; without --text its text is read from standard input",
    options: [
      { flags: "--from <address>", description: "an address of an account here" },
      { flags: "--to <address>", description: "recipient; may be repeated", repeats: true },
      { flags: "--cc <address>", description: "recipient of a copy; may be repeated", repeats: true },
      { flags: "--bcc <address>", description: "as --cc, in no header field", repeats: true },
      { flags: "--reply-to <address>", description: "where answers go", repeats: true },
      { flags: "--subject <text>", description: "its subject" },
      { flags: "--text <text>", description: "its text" },
      { flags: "--html <file>", description: "its text as HTML" },
      { flags: "--attach <file>", description: "a file to go with it; may be repeated", repeats: true },
      { flags: "--in-reply-to <message-id>", description: "the mail that it answers" },
      {
        flags: "--references <message-id>",
        description: "mails of the same thread; may be repeated",
        repeats: true,
      },
      {
        flags: "--raw <file>",
        description: "a whole message instead; - is standard input; --to goes before its header",
      },
      { flags: "--idempotency-key <key>", description: "the same command again sends nothing for a day" },
      {
        flags: "--wait",
        description: "until the mail server has said yes or no: exit 1 when it refuses a recipient",
      },
      { flags: "--timeout <seconds>", description: "how long --wait waits; default 60" },
      { flags: "--dry-run", description: "check it, send nothing" },
    ],
    examples: [
      "send --from taro@example.com --to hanako@example.org --subject Hello --text 'See you.'",
      "send --from taro@example.com --to hanako@example.org --subject Report --attach report.pdf < text.txt",
      "send --raw message.eml --wait",
    ],
    load: send(m => m.send),
  },
  {
    usage: "send list",
    summary: "mail that was handed to the mail server, or waits for it, newest first",
    options: [
      { flags: "--state <state>", description: "queued, done, failed or canceled" },
      { flags: "--purpose <purpose>", description: "send, notice, dsn or alert" },
      { flags: "--limit <n>", description: "most lines" },
    ],
    examples: ["send list", "send list --state failed"],
    load: send(m => m.list),
  },
  {
    usage: "send show <id>",
    summary: "one of them, with what the mail server said about each recipient",
    examples: ["send show 019abcde-0000-7000-8000-000000000001"],
    load: send(m => m.show),
  },
];
