/** Python's email package as a second opinion on what parts a message has (`python-email.py`). */
import { spawn, spawnSync } from "node:child_process";
import { join } from "node:path";
import { packageRoot } from "../../src/platform/package-root.ts";
import { notHere } from "./not-here.ts";

export interface PythonPart {
  /** IMAP part number; that of a message inside is its carrier's when it is a multipart. */
  readonly path: readonly number[];
  readonly type: string;
  /** Lower-case name and value with its folds, top to bottom. */
  readonly fields: ReadonlyArray<readonly [name: string, value: string]>;
  readonly defects: readonly string[];
  /** It carries a message. */
  readonly message?: boolean;
  /** Octets of a leaf, one character each. */
  readonly body?: string;
  /** The same without base64 or quoted-printable; undefined for what has neither. */
  readonly decoded?: string;
}

/** False where there is no Python; in CI that is a failure. */
export function pythonThere(): boolean {
  if (spawnSync("python3", ["-c", "import email"]).status === 0) return true;
  notHere("python3 is not installed");
  return false;
}

/** Parse all of them in one process. @returns parts of each message, parents first */
export async function pythonParts(
  messages: readonly Uint8Array[],
): Promise<ReadonlyArray<readonly PythonPart[]>> {
  const child = spawn("python3", [join(packageRoot(), "test/lib/python-email.py")], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const wire = messages.flatMap(message => [
    Buffer.from(message.length.toString(16).padStart(8, "0")),
    message,
  ]);
  child.stdin.end(Buffer.concat(wire));
  const chunks: Buffer[] = [];
  for await (const chunk of child.stdout) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks)
    .toString("utf8")
    .trimEnd()
    .split("\n")
    .map(line => (JSON.parse(line) as readonly PythonPart[]).map(decoded));
}

function decoded(part: PythonPart): PythonPart {
  const plain = (base64: string) => Buffer.from(base64, "base64").toString("latin1");
  return {
    ...part,
    fields: part.fields.map(([name, value]) => [name, plain(value)] as const),
    ...(part.body === undefined ? {} : { body: plain(part.body) }),
    ...(part.decoded === undefined ? {} : { decoded: plain(part.decoded) }),
  };
}
