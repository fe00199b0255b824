/** What `doveconf -n` prints, as a tree. Pure. Source: doveconf(1): `key = value`, `name [title] {`, `}`. */

export interface DovecotBlock {
  /** `namespace`, `passdb`, `protocol` …; "" for the whole. */
  readonly kind: string;
  readonly title: string;
  readonly settings: ReadonlyMap<string, string>;
  readonly blocks: readonly DovecotBlock[];
}

export function parseDoveconf(output: string): DovecotBlock {
  interface Open {
    readonly kind: string;
    readonly title: string;
    readonly settings: Map<string, string>;
    readonly blocks: Open[];
  }
  const open = (kind: string, title: string): Open => ({ kind, title, settings: new Map(), blocks: [] });
  const root = open("", "");
  const path = [root];
  for (const line of output.split("\n").map(text => text.trim())) {
    const here = path.at(-1) ?? root;
    const block = /^(\w+)(?:\s+(.*?))?\s*\{$/u.exec(line);
    const setting = /^([\w/.-]+)\s*=\s?(.*)$/u.exec(line);
    if (line.startsWith("#")) continue;
    if (block !== null) {
      const child = open(block[1] ?? "", (block[2] ?? "").replace(/^"(.*)"$/u, "$1"));
      here.blocks.push(child);
      path.push(child);
    } else if (line === "}") {
      if (path.length > 1) path.pop();
    } else if (setting !== null) here.settings.set(setting[1] ?? "", setting[2] ?? "");
  }
  return root;
}

export function blocksOf(root: DovecotBlock, kind: string): readonly DovecotBlock[] {
  return root.blocks.filter(block => block.kind === kind);
}

/** The namespace that INBOX lies in; undefined: Dovecot makes one by itself. */
export function inboxNamespace(root: DovecotBlock): DovecotBlock | undefined {
  return blocksOf(root, "namespace").find(
    block => block.settings.get("inbox") === "yes" && !block.title.startsWith("mairust"),
  );
}
