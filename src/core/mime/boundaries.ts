/**
 * The boundaries of all multiparts that are open, as a trie, and the automaton that reads one line against them.
 * A line is read octet by octet and needs no buffer, so a chunk may end anywhere; the cost of a line is at most
 * `BOUNDARY_BYTES_MAX` steps however many multiparts are open (300 nested ones with a common prefix included).
 *
 * RFC 2046 §5.1.1: the boundary must appear at the beginning of the line, the rest of the line does not matter. Where
 * several open boundaries fit, the longest wins, and among equal ones the innermost (Dovecot decides the same way, so it
 * and we see the same parts).
 */
import { BOUNDARY_BYTES_MAX } from "./limits.ts";

/** Lean: most nodes have one successor and no owner, and a hostile message makes tens of thousands of them. */
interface TrieNode {
  /** The first successor; -1 for none. */
  octet: number;
  only: TrieNode | undefined;
  /** All further successors. */
  others: Map<number, TrieNode> | undefined;
  /** Stack positions of the multiparts whose boundary ends here, innermost last. */
  owners: number[] | undefined;
}

interface OpenBoundary {
  readonly end: TrieNode;
  /** Where the branch that only this boundary uses hangs; undefined when it added no node. */
  readonly branch: { readonly from: TrieNode; readonly octet: number } | undefined;
}

const DASH = 0x2d;

function newNode(): TrieNode {
  return { octet: -1, only: undefined, others: undefined, owners: undefined };
}

function successor(node: TrieNode, octet: number): TrieNode | undefined {
  return node.octet === octet ? node.only : node.others?.get(octet);
}

function addSuccessor(node: TrieNode, octet: number): TrieNode {
  const added = newNode();
  if (node.octet === -1) {
    node.octet = octet;
    node.only = added;
  } else {
    node.others ??= new Map();
    node.others.set(octet, added);
  }
  return added;
}

function removeSuccessor(node: TrieNode, octet: number): void {
  if (node.octet === octet) {
    node.octet = -1;
    node.only = undefined;
  } else node.others?.delete(octet);
}

/** Open boundaries: last in, first out. */
export class BoundarySet {
  readonly root: TrieNode = newNode();
  readonly #open: OpenBoundary[] = [];

  get size(): number {
    return this.#open.length;
  }

  /** @param boundary octets as characters, not empty  @param owner the multipart's position in the stack of open parts */
  push(boundary: string, owner: number): void {
    let node = this.root;
    let branch: OpenBoundary["branch"];
    const length = Math.min(boundary.length, BOUNDARY_BYTES_MAX);
    for (let i = 0; i < length; i++) {
      const octet = boundary.charCodeAt(i);
      let next = successor(node, octet);
      if (next === undefined) {
        next = addSuccessor(node, octet);
        branch ??= { from: node, octet };
      }
      node = next;
    }
    node.owners ??= [];
    node.owners.push(owner);
    this.#open.push({ end: node, branch });
  }

  /** Forget the innermost boundary. */
  pop(): void {
    const last = this.#open.pop();
    if (last === undefined) return;
    last.end.owners?.pop();
    if (last.branch !== undefined) removeSuccessor(last.branch.from, last.branch.octet);
  }
}

/** What the automaton says after an octet. */
export type LineVerdict = "more" | "no" | "delimiter";

/** Reads the beginning of one line: `--` boundary [`--`]. */
export class DelimiterMatcher {
  #dashes = 0;
  #node: TrieNode | undefined;
  #owner = -1;
  #tailOctets = 0;
  #tailDashes = 0;

  /** Stack position of the multipart whose delimiter this is; valid after "delimiter". */
  get owner(): number {
    return this.#owner;
  }

  /** True for a close-delimiter (`--boundary--`). */
  get closes(): boolean {
    return this.#tailDashes === 2;
  }

  reset(set: BoundarySet): void {
    this.#dashes = 0;
    this.#node = set.root;
    this.#owner = -1;
    this.#tailOctets = 0;
    this.#tailDashes = 0;
  }

  /**
   * Feed one octet. After "no" or "delimiter" the octet is not part of what was matched: the caller goes on with it.
   * A boundary holds no LF, so everything consumed before lies in one line.
   */
  feed(octet: number): LineVerdict {
    if (this.#dashes < 2) {
      if (octet !== DASH) return "no";
      this.#dashes++;
      return "more";
    }
    this.#node = this.#node === undefined ? undefined : successor(this.#node, octet);
    if (this.#owner >= 0 && this.#tailOctets < 2) {
      this.#tailOctets++;
      if (octet === DASH) this.#tailDashes++;
    }
    if (this.#node !== undefined) {
      const owner = this.#node.owners?.at(-1);
      if (owner !== undefined) {
        this.#owner = owner;
        this.#tailOctets = 0;
        this.#tailDashes = 0;
      }
      return "more";
    }
    if (this.#owner < 0) return "no";
    // Two more octets tell a delimiter from a close-delimiter; anything but a dash settles it at once.
    return this.#tailOctets === 2 || octet !== DASH ? "delimiter" : "more";
  }

  /** The line (or the message) ends here. */
  finish(): LineVerdict {
    return this.#owner >= 0 ? "delimiter" : "no";
  }
}
