/** THREAD=REFERENCES as RFC 5256 §3 tells it, step by step, with objects, recursion and no thought of cost. */
import type { ThreadRow } from "../../../../src/core/ports/message-order.ts";

interface Node {
  row: ThreadRow | undefined;
  parent: Node | undefined;
  children: Node[];
}

export function threadModel(rows: readonly ThreadRow[]): string {
  const top = prune(linked(rows));
  for (const node of top) if (node.row === undefined) node.children.sort(byDate);
  top.sort(byDate);
  const joined = joinSubjects(top);
  sortAll(joined);
  const text = joined.map(node => `(${written(node)})`).join("");
  return `* THREAD${text === "" ? "" : ` ${text}`}\r\n`;
}

/** Steps 1 and 2. @returns nodes without a parent */
function linked(rows: readonly ThreadRow[]): Node[] {
  const nodes: Node[] = [];
  const known = new Map<number, Node>();
  const newNode = () => {
    const node: Node = { row: undefined, parent: undefined, children: [] };
    nodes.push(node);
    return node;
  };
  const nodeOf = (id: number) => {
    const node = known.get(id) ?? newNode();
    known.set(id, node);
    return node;
  };
  for (const row of rows) {
    const [own = 0, ...references] = row.ids;
    const chain = references.map(nodeOf);
    chain.forEach((node, i) => {
      const above = chain[i - 1];
      if (above !== undefined && node.parent === undefined) link(node, above);
    });
    const first = own === 0 ? newNode() : nodeOf(own);
    const node = first.row === undefined ? first : newNode();
    node.row = row;
    const above = chain.at(-1);
    if (node.parent === above) continue;
    unlink(node);
    if (above !== undefined) link(node, above);
  }
  return nodes.filter(node => node.parent === undefined);
}

function link(node: Node, above: Node): void {
  for (let at: Node | undefined = above; at !== undefined; at = at.parent) if (at === node) return;
  node.parent = above;
  above.children.push(node);
}

function unlink(node: Node): void {
  if (node.parent !== undefined) node.parent.children = node.parent.children.filter(each => each !== node);
  node.parent = undefined;
}

/** Step 3. */
function prune(top: readonly Node[]): Node[] {
  return top.flatMap(node => {
    node.children = node.children.flatMap(pruneBelow);
    if (node.row !== undefined) return [node];
    return node.children.length > 1 ? [node] : node.children;
  });
}

function pruneBelow(node: Node): Node[] {
  node.children = node.children.flatMap(pruneBelow);
  return node.row === undefined ? node.children : [node];
}

const speaker = (node: Node) => node.row ?? node.children[0]?.row;
const byDate = (a: Node, b: Node) =>
  (speaker(a)?.sentS ?? 0) - (speaker(b)?.sentS ?? 0) || (speaker(a)?.uid ?? 0) - (speaker(b)?.uid ?? 0);

/** Step 5. */
function joinSubjects(top: readonly Node[]): Node[] {
  const table = new Map<number, Node>();
  const isReply = (node: Node) => speaker(node)?.isReply === true;
  for (const node of top) {
    const subject = speaker(node)?.subject ?? 0;
    if (subject === 0) continue;
    const known = table.get(subject);
    const isBetter =
      known === undefined ||
      (known.row !== undefined && (node.row === undefined || (isReply(known) && !isReply(node))));
    if (isBetter) table.set(subject, node);
  }
  let kept = [...top];
  const subjects = new Map(top.map(node => [node, speaker(node)?.subject ?? 0]));
  for (const node of top) {
    const known = table.get(subjects.get(node) ?? 0);
    if (known === undefined || known === node) continue;
    kept = kept.filter(each => each !== node);
    if (known.row === undefined && node.row === undefined) known.children.push(...node.children);
    else if (known.row === undefined || (isReply(node) && !isReply(known))) known.children.push(node);
    else {
      const both: Node = { row: undefined, parent: undefined, children: [known, node] };
      kept = kept.map(each => (each === known ? both : each));
      table.set(subjects.get(node) ?? 0, both);
    }
  }
  return kept;
}

/** Step 6. */
function sortAll(nodes: Node[]): void {
  for (const node of nodes) sortAll(node.children);
  nodes.sort(byDate);
}

function written({ row, children }: Node): string {
  const own = row === undefined ? [] : [`${row.uid}`];
  const [only] = children;
  if (children.length === 1 && only !== undefined) return [...own, written(only)].join(" ");
  const below = children.length === 0 ? [] : [children.map(child => `(${written(child)})`).join("")];
  return [...own, ...below].join(" ");
}
