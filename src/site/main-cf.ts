/**
 * The text of Postfix's `main.cf`, changed parameter by parameter so that every other byte stays (comments, order, the way long values
 * are broken). Pure. Source: postconf(5), "file format": a logical line goes on where the next one begins with white space, comments
 * and empty lines in between do not end it; of several definitions the last counts.
 */

interface Entry {
  readonly name: string;
  /** Offsets in the text: from the name to behind the line break of its last line. */
  readonly start: number;
  readonly end: number;
}

/** Where logical lines stand in a file of Postfix. @returns offsets of each, in order */
export function logicalLines(
  text: string,
): readonly { readonly start: number; readonly end: number; readonly value: string }[] {
  const found: { start: number; end: number; value: string }[] = [];
  let offset = 0;
  for (const line of text.split(/(?<=\n)/u)) {
    const start = offset;
    offset += line.length;
    const content = line.trim();
    if (content === "" || content.startsWith("#")) continue;
    const last = found.at(-1);
    if (/^\s/u.test(line) && last !== undefined) {
      last.end = offset;
      last.value = `${last.value} ${content}`;
    } else found.push({ start, end: offset, value: content });
  }
  return found;
}

function entriesOf(text: string): readonly Entry[] {
  return logicalLines(text).flatMap(({ start, end, value }) => {
    const name = /^([\w.-]+)\s*=/u.exec(value)?.[1];
    return name === undefined ? [] : [{ name, start, end }];
  });
}

/** @returns the bytes of the definition that counts, its line break too */
export function rawParameter(text: string, name: string): string | undefined {
  const entry = entriesOf(text).findLast(one => one.name === name);
  return entry === undefined ? undefined : text.slice(entry.start, entry.end);
}

/** Lines in place of others. A file without a line break at its end stays one. */
export function splice(text: string, start: number, end: number, raw: string): string {
  const ended = (part: string) => (part === "" || part.endsWith("\n") ? part : `${part}\n`);
  const whole = `${ended(text.slice(0, start))}${ended(raw)}${text.slice(end)}`;
  return text === "" || text.endsWith("\n") ? whole : whole.replace(/\n$/u, "");
}

/** The definition that counts gets these bytes; without one they come at the end. */
export function putParameter(text: string, name: string, raw: string): string {
  const entry = entriesOf(text).findLast(one => one.name === name);
  return splice(text, entry?.start ?? text.length, entry?.end ?? text.length, raw);
}

export function setParameter(text: string, name: string, value: string): string {
  return putParameter(text, name, `${`${name} = ${value}`.trimEnd()}\n`);
}

export function removeParameter(text: string, name: string): string {
  const entry = entriesOf(text).findLast(one => one.name === name);
  return entry === undefined ? text : splice(text, entry.start, entry.end, "");
}

/** As `postconf -n` prints them: `name = value`, one line each. */
export function parsePostconf(output: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const line of output.split("\n")) {
    const match = /^([\w.-]+) = ?(.*)$/u.exec(line);
    if (match !== null) found.set(match[1] ?? "", (match[2] ?? "").trim());
  }
  return found;
}
