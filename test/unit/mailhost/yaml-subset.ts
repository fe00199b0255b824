/**
 * Reads the part of YAML that `docker-compose.yml` is written in: block maps and lists, `|` blocks, plain and quoted
 * scalars, flow lists and maps in JSON, anchors on maps. Anything else is an error, so nothing is misread.
 */

export type Yaml = string | null | Yaml[] | { [key: string]: Yaml };

interface Line {
  readonly number: number;
  readonly indent: number;
  readonly text: string;
}

export function parseYamlSubset(source: string): Yaml {
  return new Reader(source).read();
}

class Reader {
  readonly #raw: readonly string[];
  readonly #anchors = new Map<string, Yaml>();
  #at = 0;

  constructor(source: string) {
    this.#raw = source.split("\n");
  }

  read(): Yaml {
    const value = this.#block(0);
    const rest = this.#peek();
    if (rest !== undefined) throw this.#error(rest, "wrong indent");
    return value;
  }

  /** The next line that is neither empty nor a comment. */
  #peek(): Line | undefined {
    for (; this.#at < this.#raw.length; this.#at++) {
      const raw = this.#raw[this.#at] ?? "";
      const text = raw.trim();
      if (text === "" || text.startsWith("#")) continue;
      if (raw.includes("\t")) throw new Error(`line ${this.#at + 1}: a tab`);
      return { number: this.#at + 1, indent: raw.length - raw.trimStart().length, text };
    }
    return undefined;
  }

  #block(indent: number): Yaml {
    const first = this.#peek();
    if (first === undefined || first.indent < indent) return null;
    return first.text.startsWith("- ") ? this.#list(first.indent) : this.#map(first.indent);
  }

  #list(indent: number): Yaml[] {
    const items: Yaml[] = [];
    for (let line = this.#peek(); line?.indent === indent; line = this.#peek()) {
      if (!line.text.startsWith("- ")) throw this.#error(line, "no list item");
      const text = line.text.slice(2).trim();
      if (/^[\w-]+:( |$)/.test(text)) {
        // A map that begins on the dash's line: read it as if it stood two columns further right.
        const raw = this.#raw[this.#at] ?? "";
        (this.#raw as string[])[this.#at] = raw.replace("- ", "  ");
        items.push(this.#map(indent + 2));
      } else {
        this.#at++;
        items.push(this.#value(text, line));
      }
    }
    return items;
  }

  #map(indent: number): { [key: string]: Yaml } {
    const map: { [key: string]: Yaml } = {};
    for (
      let line = this.#peek();
      line?.indent === indent && !line.text.startsWith("- ");
      line = this.#peek()
    ) {
      const [, key, rest = ""] = /^([\w./-]+):(?: +(.*))?$/.exec(line.text) ?? [];
      if (key === undefined) throw this.#error(line, "no key");
      if (key in map) throw this.#error(line, `"${key}" stands twice`);
      this.#at++;
      const [, anchor, text = ""] = /^&([\w-]+)$/.exec(rest)
        ? [null, rest.slice(1), ""]
        : [null, undefined, rest];
      map[key] = text === "" ? this.#block(indent + 1) : this.#value(text, line);
      if (anchor !== undefined && anchor !== null) this.#anchors.set(anchor, map[key] ?? null);
    }
    return map;
  }

  #value(text: string, line: Line): Yaml {
    if (text === "|") return this.#literal(line.indent);
    if (text.startsWith("*")) {
      const value = this.#anchors.get(text.slice(1));
      if (value === undefined) throw this.#error(line, `no anchor ${text}`);
      return value;
    }
    if (/^["[{]/.test(text)) return JSON.parse(text) as Yaml;
    if (/^['&!>%@`|]|: | #/.test(text)) throw this.#error(line, "beyond the subset");
    return text;
  }

  /** The lines further right than `indent`, without their common indent. */
  #literal(indent: number): string {
    const lines: string[] = [];
    for (; this.#at < this.#raw.length; this.#at++) {
      const raw = this.#raw[this.#at] ?? "";
      if (raw.trim() !== "" && raw.length - raw.trimStart().length <= indent) break;
      lines.push(raw);
    }
    const common = Math.min(...lines.filter(l => l.trim() !== "").map(l => l.length - l.trimStart().length));
    return `${lines
      .map(l => l.slice(common))
      .join("\n")
      .trimEnd()}\n`;
  }

  #error(line: Line, what: string): Error {
    return new Error(`line ${line.number}: ${what}: ${line.text}`);
  }
}
