/**
 * What parameters and services of Postfix were before us: `mairust-*-undo.cf` beside `main.cf`. The lines `name = value` are those that
 * the scripts of `postfix/` write and read; the comments keep the original bytes, so that `setup --undo` brings back line breaks and
 * comments too. Pure. A parameter that is missing here had its default.
 */

export interface UndoRecord {
  /** By name: the value in one line, and the bytes where they are known. */
  readonly parameters: ReadonlyMap<string, { readonly value: string; readonly raw?: string }>;
  /** By `name/type`: the bytes of the service. */
  readonly services: ReadonlyMap<string, string>;
}

const RAW = "#raw ";
const SERVICE = "#service ";
const LINE = "#line ";

export function parseUndo(text: string): UndoRecord {
  const parameters = new Map<string, { value: string; raw?: string }>();
  const services = new Map<string, string>();
  let raw = "";
  let service: string | undefined;
  for (const line of text.split("\n")) {
    if (line.startsWith(SERVICE)) {
      service = line.slice(SERVICE.length);
      services.set(service, "");
    } else if (line.startsWith(LINE) && service !== undefined)
      services.set(service, `${services.get(service) ?? ""}${line.slice(LINE.length)}\n`);
    else if (line.startsWith(RAW)) raw += `${line.slice(RAW.length)}\n`;
    else {
      const match = /^([\w.-]+) = ?(.*)$/u.exec(line);
      if (match === null) continue;
      parameters.set(match[1] ?? "", { value: match[2] ?? "", ...(raw === "" ? {} : { raw }) });
      raw = "";
    }
  }
  return { parameters, services };
}

export function formatUndo({ parameters, services }: UndoRecord): string {
  const marked = (mark: string, raw: string) =>
    raw
      .replace(/\n$/u, "")
      .split("\n")
      .map(line => `${mark}${line}\n`)
      .join("");
  return [
    ...[...parameters].map(
      ([name, { value, raw }]) => `${raw === undefined ? "" : marked(RAW, raw)}${name} = ${value}\n`,
    ),
    ...[...services].map(([name, raw]) => `${SERVICE}${name}\n${marked(LINE, raw)}`),
  ].join("");
}
