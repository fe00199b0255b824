/**
 * `src/protocols/SPECS.md` against the code: what is cited there has a row, what a row claims is cited, and what the IMAP server
 * announces is what the rows say works. Text based, as the citations are.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join, normalize, relative } from "node:path";

export interface SpecRow {
  /** In the file, from 1. */
  readonly line: number;
  /** Of the heading above: the folder or files, below `src/`, with `*` for anything. */
  readonly place: string;
  readonly document: string;
  readonly holds: string;
  readonly note: string;
}

export interface SpecFacts {
  readonly specs: string;
  /** Path below `src/` → text. */
  readonly sources: ReadonlyMap<string, string>;
  /** Words of CAPABILITY that somebody is told. */
  readonly announced: ReadonlySet<string>;
  /** Words of CAPABILITY that nobody is told yet. */
  readonly unbuilt: ReadonlySet<string>;
}

/** Words whose row calls them otherwise. */
const CALLED: Readonly<Record<string, string>> = {
  "AUTH=PLAIN": "SASL PLAIN",
  LOGINDISABLED: "IMAP4rev1",
  STARTTLS: "IMAP4rev1",
};

/** Other names of the IANA registry of IMAP capabilities: a row may not claim one of them, unless the server tells it. */
const OTHER_CAPABILITIES =
  "ACL ANNOTATE-EXPERIMENT-1 APPENDLIMIT CATENATE COMPRESS=DEFLATE CONTEXT=SEARCH CONTEXT=SORT CONVERT CREATE-SPECIAL-USE ESORT FILTERS I18NLEVEL=1 I18NLEVEL=2 INPROGRESS JMAPACCESS LANGUAGE LIST-METADATA LIST-MYRIGHTS LITERAL- LOGIN-REFERRALS MAILBOX-REFERRALS MESSAGELIMIT METADATA METADATA-SERVER MULTIAPPEND MULTISEARCH NOTIFY PARTIAL QUOTA QUOTASET REPLACE SAVEDATE SAVELIMIT SEARCH=FUZZY SORT=DISPLAY THREAD=ORDEREDSUBJECT UIDBATCHES UIDONLY UNAUTHENTICATE URL-PARTIAL URLAUTH UTF8=ACCEPT UTF8=ONLY".split(
    " ",
  );

const HEADING = /^## .*\(`([^`]+)`\)/u;
const ROW = /^\| (?!document |---)(.+?) \| (.+?) \| (.*)\|$/u;
const CITED = /\bRFC (\d{3,5}(?:(?:, | and |, and )\d{4,5}\b(?!\.\d))*)/gu;
const HOLDS: ReadonlySet<string> = new Set(["yes", "partial", "no"]);

/** Rows of the tables of documents; what other tables say is part of a row's note. */
export function readSpecs(text: string): readonly SpecRow[] {
  let place = "";
  let isOfDocuments = false;
  return text.split("\n").flatMap((line, i) => {
    const heading = HEADING.exec(line)?.[1];
    if (heading !== undefined) place = normalize(join("protocols", heading));
    if (line.startsWith("#")) isOfDocuments = false;
    if (line.startsWith("| document |")) isOfDocuments = true;
    const [, document, holds, note] = ROW.exec(line) ?? [];
    return !isOfDocuments || document === undefined || holds === undefined
      ? []
      : [{ line: i + 1, place, document, holds, note: note ?? "" }];
  });
}

/** Numbers of all RFCs that a text cites; `RFC 2177, 2971` cites two. */
export function citedRfcs(text: string): ReadonlySet<number> {
  return new Set(
    [...text.matchAll(CITED)].flatMap(([, list = ""]) => (list.match(/\d+/gu) ?? []).map(Number)),
  );
}

/** @returns one sentence for each thing that is not true */
export function checkSpecs(facts: SpecFacts): readonly string[] {
  const rows = readSpecs(facts.specs);
  return [
    ...rows
      .filter(({ holds }) => !HOLDS.has(holds))
      .map(({ line, holds }) => `line ${line}: holds "${holds}"`),
    ...citedWithoutRow(rows, facts),
    ...claimedButNotCited(rows, facts),
    ...announcedOtherwise(rows, facts),
  ];
}

function citedWithoutRow(rows: readonly SpecRow[], { sources }: SpecFacts): readonly string[] {
  const known = new Set(rows.flatMap(({ document }) => [...citedRfcs(document)]));
  return [...sources]
    .filter(([path]) => path.startsWith("protocols/"))
    .flatMap(([path, text]) =>
      [...citedRfcs(text)]
        .filter(rfc => !known.has(rfc))
        .map(rfc => `${path} cites RFC ${rfc}, which has no row`),
    );
}

function claimedButNotCited(rows: readonly SpecRow[], { sources }: SpecFacts): readonly string[] {
  return rows.filter(isClaimed).flatMap(row => {
    const cited = new Set(
      [...sources].filter(([path]) => isWhere(row, path)).flatMap(([, text]) => [...citedRfcs(text)]),
    );
    const missing = [...citedRfcs(row.document)].filter(rfc => !cited.has(rfc));
    return missing.map(rfc => `line ${row.line}: RFC ${rfc} is claimed, and nowhere cited`);
  });
}

const isClaimed = ({ holds }: SpecRow) => holds === "yes" || holds === "partial";

/** Below the section's folder, in what all protocols share, or where the row says. */
function isWhere({ place, note }: SpecRow, path: string): boolean {
  const named = [...note.matchAll(/`([\w./*-]+\.ts)`/gu)].map(([, file = ""]) => file);
  return /^(?:core|platform)\//u.test(path) || [place, ...named].some(where => matches(where, path));
}

function matches(where: string, path: string): boolean {
  if (!where.includes("*")) return path.startsWith(where) || path.endsWith(where);
  const [start = "", end = ""] = where.split("*");
  return path.startsWith(start) && path.endsWith(end);
}

function announcedOtherwise(rows: readonly SpecRow[], { announced, unbuilt }: SpecFacts): readonly string[] {
  const ofImap = rows.filter(({ place }) => place === "protocols/imap/");
  const claims = (word: string) => ofImap.filter(row => isClaimed(row) && names(row, CALLED[word] ?? word));
  const denials = (word: string) =>
    ofImap.filter(row => row.holds === "no" && names(row, CALLED[word] ?? word));
  const silent = [...announced].filter(word => claims(word).length === 0);
  const denied = [...announced].flatMap(word => denials(word).map(row => [word, row] as const));
  const vain = [...unbuilt, ...OTHER_CAPABILITIES.filter(word => !announced.has(word))];
  return [
    ...silent.map(word => `"${word}" is announced, and no row says that it works`),
    ...denied.map(([word, { line }]) => `line ${line}: "${word}" is announced, and the row says no`),
    ...vain.flatMap(word =>
      claims(word).map(({ line }) => `line ${line}: "${word}" is claimed, and not announced`),
    ),
  ];
}

/** Whether the row's document is called so: a whole word among its names, whatever stands before an `=`. */
function names({ document }: SpecRow, word: string): boolean {
  const isName = (name: string) =>
    new RegExp(`(?:^|[\\s,(])${escaped(name)}(?=$|[\\s,);:])`, "u").test(document);
  return isName(word) || (word.startsWith("THREAD=") && isName("THREAD"));
}

const escaped = (text: string) => text.replace(/[\\^$.|?+*()[\]{}]/gu, "\\$&");

/** All of `src/` as text. */
export function readSources(root: string): ReadonlyMap<string, string> {
  return new Map(
    readdirSync(root, { recursive: true, withFileTypes: true })
      .filter(file => file.isFile() && /\.c?ts$/u.test(file.name))
      .map(file => join(file.parentPath, file.name))
      .map(path => [relative(root, path), readFileSync(path, "utf8")] as const),
  );
}
