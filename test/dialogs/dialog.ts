/**
 * Send/expect dialogs as text files, for protocols made of lines.
 *
 *   # a comment
 *   C: a line the client sends (CRLF is added)
 *   C!: raw bytes with JSON escapes, nothing added: C!: "a\r\nb"
 *   S: a line the server must answer with; `*` stands for anything
 *   S-close: the server closes
 *
 * Client lines that follow each other go out in one write, as a pipelining client sends them.
 */
import assert from "node:assert/strict";

export interface DialogPeer {
  send(text: string): void;
  /** The next line without CRLF, "" when the server closed. */
  line(): Promise<string>;
  rest(): Promise<string>;
}

/** Play `script` against `peer`. @param name  for messages: the file's name */
export async function playDialog(name: string, script: string, peer: DialogPeer): Promise<void> {
  let pending = "";
  const flush = () => {
    if (pending !== "") peer.send(pending);
    pending = "";
  };
  for (const [index, line] of script.split("\n").entries()) {
    const where = `${name}:${index + 1}`;
    const match = /^(C!|C|S|S-close):(?: (.*))?$/u.exec(line);
    if (match === null) {
      assert.match(line, /^(?:#.*|\s*)$/u, `${where}: not a dialog line`);
      continue;
    }
    const text = match[2] ?? "";
    if (match[1] === "C") pending += `${text}\r\n`;
    else if (match[1] === "C!") pending += String(JSON.parse(text));
    else {
      flush();
      if (match[1] === "S-close") assert.equal(await peer.rest(), "", `${where}: server said more`);
      else assert.match(await peer.line(), globToRegExp(text), where);
    }
  }
  flush();
}

function globToRegExp(glob: string): RegExp {
  const parts = glob.split("*").map(part => part.replace(/[\\^$.|?+()[\]{}]/gu, "\\$&"));
  return new RegExp(`^${parts.join(".*")}$`, "u");
}
