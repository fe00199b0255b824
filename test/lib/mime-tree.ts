/** Random well-formed messages together with what their parts are: the maker is the model. */
import fc from "fast-check";

export interface MadePart {
  /** IMAP part number; undefined for the multipart that is the body of a message. */
  readonly path: readonly number[] | undefined;
  readonly type: string;
  /** With its empty line. */
  readonly header: string;
  readonly body: string;
}

export interface MadeMessage {
  readonly text: string;
  /** Parents before children. */
  readonly parts: readonly MadePart[];
}

type Tree =
  | {
      readonly kind: "leaf";
      readonly type: string;
      readonly fields: readonly string[];
      readonly body: string;
    }
  | {
      readonly kind: "multipart";
      readonly subtype: string;
      readonly boundary: Boundary;
      readonly fields: readonly string[];
      readonly children: readonly Tree[];
      readonly preamble: string;
      readonly epilogue: string;
    }
  | { readonly kind: "message"; readonly fields: readonly string[]; readonly inner: Tree };

const fields = fc.array(
  fc.constantFrom(
    "Subject: x",
    "X-Folded: a\r\n b\r\n\tc",
    "Content-ID: <a@b>",
    "Content-Description: d",
    'Content-Disposition: attachment; filename="a b"',
    "X-Empty:",
  ),
  { maxLength: 3 },
);
const line = fc.constantFrom(
  "text",
  "",
  "--",
  "-- ",
  "--not-it",
  "From x",
  ".",
  "=E3=81=82",
  "caf\xe9",
  "long ".repeat(30),
);
const body = fc.array(line, { maxLength: 5 }).map(lines => lines.join("\r\n"));

/** A delimiter's text and how its parameter is written; RFC 2046 §5.1.1: up to 70 of these, no space at the end. */
interface Boundary {
  readonly text: string;
  readonly written: (value: string) => string;
}

/** Made unlike any other by a number behind it. */
const boundary: fc.Arbitrary<Boundary> = fc.record({
  text: fc.constantFrom(
    "=_",
    "b",
    "a b",
    "--",
    "'()+_,-./:=?",
    "0",
    "x".repeat(60),
    "----=_Part",
    "B:",
    "--not-it",
  ),
  written: fc.constantFrom(
    (value: string) => `boundary="${value}"`,
    (value: string) => `BOUNDARY="${value}"`,
    (value: string) => `charset=x;\r\n boundary="${value}"`,
    (value: string) => `\r\n\tboundary="${value}"; type="text/html"`,
    (value: string) => `boundary="${value.replaceAll("b", "\\b")}"`,
  ),
});

const { tree } = fc.letrec<{ tree: Tree }>(tie => ({
  tree: fc.oneof(
    { maxDepth: 7, withCrossShrink: true },
    fc.record({
      kind: fc.constant("leaf" as const),
      type: fc.constantFrom("text/plain", "text/html", "image/png", "application/octet-stream"),
      fields,
      body,
    }),
    fc.record({
      kind: fc.constant("multipart" as const),
      subtype: fc.constantFrom("mixed", "alternative", "related", "signed", "x-unknown"),
      boundary,
      fields,
      children: fc.array(tie("tree"), { minLength: 1, maxLength: 4 }),
      preamble: fc.constantFrom("", "preamble\r\n", "two\r\nlines\r\n"),
      epilogue: fc.constantFrom("", "epilogue\r\n"),
    }),
    fc.record({ kind: fc.constant("message" as const), fields, inner: tie("tree") }),
  ),
}));

/** Writes a tree down. Each boundary is used once and is no beginning of another. */
class Maker {
  readonly parts: MadePart[] = [];
  #boundaries = 0;

  /** @param isMessageBody  the node is the body of a message, whose own number is `path` */
  write(node: Tree, path: readonly number[], isMessageBody: boolean): string {
    const own = !isMessageBody ? path : node.kind === "multipart" ? undefined : [...path, 1];
    const at = this.parts.length;
    const made = this.#body(node, own ?? path, at, own);
    const header = `${[...node.fields, `Content-Type: ${made.type}`].join("\r\n")}\r\n\r\n`;
    this.parts[at] = { path: own, type: made.type.split(";", 1)[0] ?? "", header, body: made.body };
    return header + made.body;
  }

  #body(
    node: Tree,
    path: readonly number[],
    at: number,
    own: readonly number[] | undefined,
  ): { type: string; body: string } {
    // A place before those of the children; filled in when the body is known.
    this.parts[at] = { path: own, type: "", header: "", body: "" };
    if (node.kind === "leaf") return { type: node.type, body: node.body };
    if (node.kind === "message") return { type: "message/rfc822", body: this.write(node.inner, path, true) };
    const { text, written } = node.boundary;
    // What follows the number keeps one from being the beginning of another.
    const boundary = `${text}.${this.#boundaries++}_`;
    const children = node.children.map(
      (child, i) => `--${boundary}\r\n${this.write(child, [...path, i + 1], false)}\r\n`,
    );
    return {
      type: `multipart/${node.subtype}; ${written(boundary)}`,
      body: `${node.preamble}${children.join("")}--${boundary}--\r\n${node.epilogue}`,
    };
  }
}

export const madeMessage: fc.Arbitrary<MadeMessage> = tree.map(node => {
  const maker = new Maker();
  const text = maker.write(node, [], true);
  return { text, parts: maker.parts };
});

/** `"\\b"` is `b` (RFC 5322 §3.2.4); Python takes the backslash away before quotes and backslashes alone, and then finds no delimiter. */
export const pythonReads = (text: string) => !text.includes("\\b");
