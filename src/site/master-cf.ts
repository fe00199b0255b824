/**
 * The text of Postfix's `master.cf`, changed service by service so that every other byte stays. Pure.
 * Source: master(5): eight columns, then arguments; `-o name=value`, `-o { name = value }`.
 */
import { logicalLines, splice } from "./main-cf.ts";

export interface MasterService {
  readonly name: string;
  readonly type: string;
  /** 5th column: `y`, `n` or `-`. */
  readonly chroot: string;
  readonly command: string;
  /** `-o` settings, the last one of a name. */
  readonly settings: ReadonlyMap<string, string>;
  readonly start: number;
  readonly end: number;
}

/** Columns before the arguments. */
const COLUMNS = 8;

export function parseMaster(text: string): readonly MasterService[] {
  return logicalLines(text).flatMap(({ start, end, value }) => {
    const columns = value.split(/\s+/u);
    const [name, type, , , chroot, , , command] = columns;
    if (columns.length < COLUMNS || name === undefined || type === undefined) return [];
    const rest = value.replace(/^(?:\S+\s+){7}\S+\s*/u, "");
    return [
      { name, type, chroot: chroot ?? "-", command: command ?? "", settings: settingsOf(rest), start, end },
    ];
  });
}

function settingsOf(args: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (let i = args.indexOf("-o"); i >= 0; i = args.indexOf("-o", i)) {
    i += 2;
    while (args[i] === " ") i += 1;
    const end = endOfWord(args, i);
    const word = args.slice(i, end).replace(/^\{\s*|\s*\}$/gu, "");
    const equals = word.indexOf("=");
    if (equals > 0) found.set(word.slice(0, equals).trim(), word.slice(equals + 1).trim());
    i = end;
  }
  return found;
}

/** A word ends at a space outside of braces. */
function endOfWord(text: string, start: number): number {
  let depth = 0;
  for (let i = start; i < text.length; i += 1) {
    if (text[i] === "{") depth += 1;
    else if (text[i] === "}") depth -= 1;
    else if (text[i] === " " && depth === 0) return i;
  }
  return text.length;
}

export function findService(text: string, name: string, type: string): MasterService | undefined {
  return parseMaster(text).find(one => one.name === name && one.type === type);
}

/** @returns the bytes of the service, line breaks too */
export function rawService(text: string, name: string, type: string): string | undefined {
  const service = findService(text, name, type);
  return service === undefined ? undefined : text.slice(service.start, service.end);
}

/** The service gets these bytes; without one they come at the end. */
export function putService(text: string, name: string, type: string, raw: string): string {
  const service = findService(text, name, type);
  return splice(text, service?.start ?? text.length, service?.end ?? text.length, raw);
}

export function removeService(text: string, name: string, type: string): string {
  const service = findService(text, name, type);
  return service === undefined ? text : splice(text, service.start, service.end, "");
}

/** A service with one more `-o` at its end: of several of one name the last counts. */
export function withSetting(raw: string, setting: string): string {
  return `${raw.endsWith("\n") ? raw : `${raw}\n`}    -o ${setting}\n`;
}
