/**
 * The mail corpus, which stays outside the repository: MAIRUST_CORPUS, or `../shared/corpus` beside it. `test/run` hands it on as
 * TEST_CORPUS: the service takes every variable named MAIRUST_… for a key of its configuration.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { packageRoot } from "../../src/platform/package-root.ts";
import { notHere } from "./not-here.ts";

export const CORPUS =
  process.env.TEST_CORPUS ?? process.env.MAIRUST_CORPUS ?? join(packageRoot(), "../shared/corpus");

/** False where there is none; in CI that is a failure. */
export function corpusThere(): boolean {
  if (existsSync(join(CORPUS, "MANIFEST.tsv"))) return true;
  notHere(`no mail corpus in ${CORPUS}: set MAIRUST_CORPUS`);
  return false;
}

export interface CorpusMessage {
  readonly name: string;
  /** Line ends made CRLF; a bare CR stays. */
  readonly bytes: Buffer;
}

export function readCorpus(): readonly CorpusMessage[] {
  return readdirSync(CORPUS, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile() && entry.parentPath !== CORPUS)
    .map(entry => join(entry.parentPath, entry.name))
    .sort()
    .map(file => ({ name: file.slice(CORPUS.length + 1), bytes: withCrlf(readFileSync(file)) }));
}

function withCrlf(bytes: Buffer): Buffer {
  const text = bytes.toString("latin1").replace(/\r?\n/gu, "\r\n");
  return Buffer.from(text.endsWith("\r\n") ? text : `${text}\r\n`, "latin1");
}
