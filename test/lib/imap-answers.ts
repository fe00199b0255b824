/** Answers about mailboxes as data that can be compared: what the protocol leaves free (order, quoting, case) is gone. */

/** Attributes that say something about Dovecot's files alone. */
const FREE_ATTRIBUTES: ReadonlySet<string> = new Set(["\\marked", "\\unmarked", "\\noinferiors"]);
const LIST = /^\* (LIST|LSUB) \(([^)]*)\) ("[^"]*"|NIL) (.*)$/u;
const QUOTED = /^"((?:[^"\\]|\\.)*)"(.*)$/u;
const LITERAL = /^\{(\d+)\}\r\n/u;

/** One string or atom, and what follows it. */
function readName(text: string): readonly [name: string, rest: string] {
  const literal = LITERAL.exec(text);
  if (literal !== null) {
    const end = literal[0].length + Number(literal[1]);
    return [text.slice(literal[0].length, end), text.slice(end)];
  }
  const quoted = QUOTED.exec(text);
  if (quoted !== null) return [(quoted[1] ?? "").replace(/\\(.)/gu, "$1"), quoted[2] ?? ""];
  const end = text.search(/[ ]|$/u);
  return [text.slice(0, end), text.slice(end)];
}

const CHILDREN: ReadonlySet<string> = new Set(["\\haschildren", "\\hasnochildren"]);
const SPECIAL_USE: ReadonlySet<string> = new Set(["\\archive", "\\junk"]);

/**
 * LIST, LSUB and STATUS lines in the order of their names, and the word that ended the command.
 *
 * An extended LIST may tell of children and uses although nobody asked (RFC 5258 §3, RFC 6154 §2): we do, Dovecot does not.
 * Dovecot tells uses in LSUB too, for which no RFC asks. A name without mailbox is \NonExistent, which implies \Noselect: one of them is enough, we tell both.
 */
export function mailboxAnswers(command: string, answers: readonly string[]): readonly string[] {
  const isExtended = /^LIST \(|^LIST ".*" \(| RETURN /u.test(command);
  const free = (word: string) =>
    FREE_ATTRIBUTES.has(word) ||
    (isExtended && CHILDREN.has(word) && !command.includes("CHILDREN")) ||
    ((isExtended || command.startsWith("LSUB")) && SPECIAL_USE.has(word) && !command.includes("SPECIAL-USE"));
  const told = answers.slice(0, -1).flatMap(line => {
    const list = LIST.exec(line);
    if (list !== null) {
      const [name, rest] = readName(list[4] ?? "");
      const attributes = words(list[2]?.replace(/\\NonExistent/giu, "\\Noselect"));
      const told = new Set(attributes.split(" ").filter(word => !free(word)));
      return [
        `${list[1]} ${name} ${[...told].join(" ")} ${list[3]}${rest.replaceAll('"', "").toUpperCase()}`,
      ];
    }
    const status = /^\* STATUS (.*)$/su.exec(line);
    if (status !== null) {
      const [name, rest] = readName(status[1] ?? "");
      // INBOX has one name in every case; who asked for "inbox" may be told either.
      return [`STATUS ${name.replace(/^inbox$/iu, "INBOX")} ${statusItems(rest)}`];
    }
    // Of CONDSTORE, which Dovecot begins to tell when somebody asks for HIGHESTMODSEQ, and we do not announce.
    if (line.startsWith("* OK [HIGHESTMODSEQ ")) return [];
    return [line];
  });
  return [...told.sort(), answers.at(-1)?.split(" ", 1)[0] ?? ""];
}

function words(text = ""): string {
  const all = text.toLowerCase().split(" ");
  return all
    .filter(word => word !== "")
    .sort()
    .join(" ");
}

/** Numbers that each server chooses for itself become "n"; no message is ever \Recent to us. */
function statusItems(text: string): string {
  const items = [...text.matchAll(/([A-Z]+) (\d+)/gu)].map(([, item, value]) =>
    item === "UIDVALIDITY" || item === "HIGHESTMODSEQ" || item === "RECENT"
      ? `${item} n`
      : `${item} ${value}`,
  );
  return items.sort().join(" ");
}

/** What SELECT or EXAMINE told, by kind: `EXISTS`, `FLAGS`, `UIDNEXT`…, and `tagged` with its code. */
export function selectAnswers(answers: readonly string[]): ReadonlyMap<string, string> {
  const told = new Map<string, string>();
  const tell = (kind: string, value: string) => {
    if (told.has(kind)) throw new Error(`told twice: ${kind}`);
    told.set(kind, value);
  };
  for (const line of answers.slice(0, -1)) {
    const number = /^\* (\d+) (EXISTS|RECENT)$/u.exec(line);
    const flags = /^\* FLAGS \((.*)\)$/u.exec(line);
    const code = /^\* OK \[([A-Z]+) ?([^\]]*)\]/u.exec(line);
    if (number !== null) tell(number[2] ?? "", number[1] ?? "");
    else if (flags !== null) tell("FLAGS", words(flags[1]));
    else if (code !== null) tell(code[1] ?? "", words(code[2]?.replace(/[()]/gu, "")));
    else tell(line, "");
  }
  tell("tagged", /^[A-Z]+(?: \[[^\]]*\])?/u.exec(answers.at(-1) ?? "")?.[0] ?? "");
  return told;
}
