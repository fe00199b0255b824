/**
 * ENABLE: what a client wants to be told from now on. A word counts only where it is announced; others are passed over.
 * Source: RFC 5161 §3.1; RFC 7162 §3.2.3.
 */
import { capabilities } from "./capability.ts";
import { enableCondstore } from "./condstore.ts";
import type { LoggedIn } from "./context.ts";
import type { Lexer } from "./lexer.ts";
import { type Completion, ok } from "./reply.ts";

export interface EnableCommand {
  readonly kind: "ENABLE";
  /** Upper case, each once. */
  readonly words: readonly string[];
}

interface Extension {
  /** As it is announced. */
  readonly word: string;
  readonly isOn: (context: LoggedIn) => boolean;
  readonly turnOn: (context: LoggedIn) => void;
}

const EXTENSIONS: readonly Extension[] = [
  { word: "CONDSTORE", isOn: ({ enabled }) => enabled.condstore, turnOn: enableCondstore },
  {
    word: "QRESYNC",
    isOn: ({ enabled }) => enabled.qresync,
    turnOn(context) {
      enableCondstore(context);
      context.enabled.qresync = true;
    },
  },
  {
    word: "IMAP4rev2",
    isOn: ({ enabled }) => enabled.rev2,
    turnOn({ enabled }) {
      enabled.rev2 = true;
    },
  },
];

/** @param lexer  behind the name of the command */
export function parseEnable(lexer: Lexer): EnableCommand {
  const words = new Set<string>();
  do {
    lexer.space();
    words.add(lexer.keyword());
  } while (!lexer.atEnd);
  return { kind: "ENABLE", words: [...words] };
}

/** Also with a mailbox selected: servers need not look (RFC 5161 §3.1). */
export function enable(context: LoggedIn, { words }: EnableCommand): Completion {
  const announced = new Set(capabilities(context).split(" "));
  const asked = EXTENSIONS.filter(({ word }) => announced.has(word) && words.includes(word.toUpperCase()));
  // What CONDSTORE is by QRESYNC's turn was asked for all the same.
  const fresh = asked.filter(extension => !extension.isOn(context));
  for (const extension of fresh) extension.turnOn(context);
  context.output.text(`* ${["ENABLED", ...fresh.map(({ word }) => word)].join(" ")}\r\n`);
  return ok("ENABLE completed");
}
