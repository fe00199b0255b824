/**
 * The archive in a package: POSIX ustar (IEEE Std 1003.1, pax, "ustar Interchange Format") of regular files and folders. Nothing else of
 * tar's long history is read: no links, devices, sparse files, long-name or pax entries, GNU or old headers.
 *
 * Read from memory and into memory: what an entry's name says never reaches a file system before all of it was checked.
 */
import { MairustError } from "../../core/errors.ts";
import { MAX_PACKAGE_FILES } from "../../wire/plugin-package.ts";
import { PathSet, pathProblem } from "./paths.ts";
import { type Problems, quoted } from "./problems.ts";

export const BLOCK_BYTES = 512;
/** Folders have entries too. */
const MAX_ENTRIES = 2 * MAX_PACKAGE_FILES;

/** Fields of a header: where they start and end. */
export const FIELD = {
  name: [0, 100],
  mode: [100, 108],
  uid: [108, 116],
  gid: [116, 124],
  size: [124, 136],
  mtime: [136, 148],
  chksum: [148, 156],
  typeflag: [156, 157],
  linkname: [157, 257],
  magic: [257, 265],
  devmajor: [329, 337],
  devminor: [337, 345],
  prefix: [345, 500],
  rest: [500, 512],
} as const;

/** "ustar", NUL, version "00". */
export const MAGIC = "ustar\x0000";

const KINDS: Readonly<Record<string, string>> = {
  "\0": "a file in an old format",
  1: "a hard link",
  2: "a symbolic link",
  3: "a device",
  4: "a device",
  6: "a FIFO",
  7: "a contiguous file",
  S: "a sparse file",
  L: "a long name in GNU's format",
  K: "a long link in GNU's format",
  x: "a pax header",
  g: "a pax header",
};

/** @returns the files by path, in the archive's order. @throws {PackageError} */
export function readUstar(archive: Buffer, problems: Problems): ReadonlyMap<string, Buffer> {
  const files = new Map<string, Buffer>();
  const paths = new PathSet();
  let at = 0;
  for (let entries = 0; ; entries++) {
    const header = archive.subarray(at, at + BLOCK_BYTES);
    if (header.length < BLOCK_BYTES) problems.fail("its archive ends without an end mark");
    if (isZero(header)) break;
    if (entries === MAX_ENTRIES) problems.fail(`it has more than ${MAX_ENTRIES} entries`);
    const { path, isFolder, size } = readHeader(header, problems);
    at += BLOCK_BYTES;
    const data = archive.subarray(at, at + size);
    at += Math.ceil(size / BLOCK_BYTES) * BLOCK_BYTES;
    if (at > archive.length) problems.fail(`${quoted(path)}: the archive ends within it`);
    if (!isZero(archive.subarray(at - ((BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES), at)))
      problems.add(`${quoted(path)}: something is hidden behind its end`);
    const why = pathProblem(path) ?? paths.add(path, isFolder ? "folder" : "file");
    if (why !== undefined) problems.add(`${quoted(path)}: ${why}`);
    else if (!isFolder) files.set(path, data);
    if (files.size > MAX_PACKAGE_FILES) problems.fail(`it has more than ${MAX_PACKAGE_FILES} files`);
  }
  checkEnd(archive.subarray(at), problems);
  problems.throwIfAny();
  return files;
}

/** Two blocks of zeros, and then nothing. */
function checkEnd(end: Buffer, problems: Problems): void {
  if (end.length < 2 * BLOCK_BYTES || !isZero(end.subarray(0, 2 * BLOCK_BYTES)))
    problems.fail("its archive ends without an end mark");
  if (end.length > 2 * BLOCK_BYTES)
    problems.fail(`${end.length - 2 * BLOCK_BYTES} bytes follow the end of its archive`);
}

interface Header {
  readonly path: string;
  readonly isFolder: boolean;
  readonly size: number;
}

/** @throws {PackageError} where the next header starts cannot be told */
function readHeader(header: Buffer, problems: Problems): Header {
  const name = textField(header, FIELD.name);
  const prefix = textField(header, FIELD.prefix);
  const written = prefix === "" ? (name ?? "") : `${prefix}/${name}`;
  if (octalField(header, FIELD.chksum) !== checksum(header))
    problems.fail(`${quoted(written)}: the checksum of its header does not fit`);
  if (header.toString("latin1", ...FIELD.magic) !== MAGIC)
    problems.fail(`${quoted(written)}: it is not in ustar format`);
  const size = octalField(header, FIELD.size);
  if (size === undefined) return problems.fail(`${quoted(written)}: its size is no number`);
  const type = header.toString("latin1", ...FIELD.typeflag);
  const isFolder = type === "5";
  const path = isFolder && written.endsWith("/") ? written.slice(0, -1) : written;
  const say = (text: string) => problems.add(`${quoted(path)}: ${text}`);
  if (name === undefined || prefix === undefined) say("something is hidden behind its name");
  if (type !== "0" && !isFolder)
    say(`it is ${KINDS[type] ?? `of type ${quoted(type)}`}, only files are allowed`);
  if (isFolder && size !== 0) say("a folder has no size");
  if (!isZero(header.subarray(...FIELD.linkname))) say("it names the target of a link");
  if (!isZero(header.subarray(...FIELD.rest))) say("something is hidden in its header");
  const mode = octalField(header, FIELD.mode);
  if (mode === undefined || mode > 0o777)
    say("its mode has more than permissions (setuid, setgid or sticky)");
  return { path, isFolder, size };
}

/** Text up to the first NUL; undefined: something else than NULs is behind it. Octets as characters: names are ASCII or refused. */
function textField(header: Buffer, [start, end]: readonly [number, number]): string | undefined {
  const nul = header.subarray(start, end).indexOf(0);
  if (nul < 0) return header.toString("latin1", start, end);
  return isZero(header.subarray(start + nul, end))
    ? header.toString("latin1", start, start + nul)
    : undefined;
}

/** Octal digits, then NULs or spaces; undefined: anything else, GNU's binary numbers too. */
function octalField(header: Buffer, [start, end]: readonly [number, number]): number | undefined {
  const match = /^([0-7]+)[\0 ]+$/.exec(header.toString("latin1", start, end));
  return match === null ? undefined : Number.parseInt(match[1] ?? "", 8);
}

/** The sum of all octets, with the field itself as spaces. */
export function checksum(header: Uint8Array): number {
  const [start, end] = FIELD.chksum;
  let sum = (end - start) * 0x20;
  for (let i = 0; i < header.length; i++) if (i < start || i >= end) sum += header[i] ?? 0;
  return sum;
}

function isZero(bytes: Uint8Array): boolean {
  return bytes.every(octet => octet === 0);
}

/** The same files give the same bytes: by path, without folders, times, owners; every mode 0644. */
export function writeUstar(files: ReadonlyMap<string, Uint8Array>): Buffer {
  const parts: Uint8Array[] = [];
  for (const path of [...files.keys()].sort()) {
    const data = files.get(path) ?? new Uint8Array(0);
    parts.push(
      headerOf(path, data.length),
      data,
      Buffer.alloc((BLOCK_BYTES - (data.length % BLOCK_BYTES)) % BLOCK_BYTES),
    );
  }
  return Buffer.concat([...parts, Buffer.alloc(2 * BLOCK_BYTES)]);
}

function headerOf(path: string, size: number): Buffer {
  const header = Buffer.alloc(BLOCK_BYTES);
  const split = splitPath(path);
  if (split === undefined)
    throw new MairustError("internal", `Cannot write ${quoted(path)}: it was not checked`);
  const octal = ([start, end]: readonly [number, number], value: number) =>
    header.write(value.toString(8).padStart(end - start - 1, "0"), start, "latin1");
  header.write(split.name, FIELD.name[0], "latin1");
  header.write(split.prefix, FIELD.prefix[0], "latin1");
  octal(FIELD.mode, 0o644);
  octal(FIELD.uid, 0);
  octal(FIELD.gid, 0);
  octal(FIELD.size, size);
  octal(FIELD.mtime, 0);
  header.write("0", FIELD.typeflag[0], "latin1");
  header.write(MAGIC, FIELD.magic[0], "latin1");
  octal(FIELD.devmajor, 0);
  octal(FIELD.devminor, 0);
  // Six digits, NUL, space, as everybody writes it.
  header.write(`${checksum(header).toString(8).padStart(6, "0")}\0 `, FIELD.chksum[0], "latin1");
  return header;
}

/** A long name is cut at a slash, the front goes into `prefix`; undefined: there is no slash in the right place. */
export function splitPath(path: string): { readonly name: string; readonly prefix: string } | undefined {
  const nameBytes = FIELD.name[1] - FIELD.name[0];
  const prefixBytes = FIELD.prefix[1] - FIELD.prefix[0];
  if (path.length <= nameBytes) return { name: path, prefix: "" };
  const slash = path.indexOf("/", path.length - nameBytes - 1);
  if (slash < 0 || slash > prefixBytes || slash === path.length - 1) return undefined;
  return { name: path.slice(slash + 1), prefix: path.slice(0, slash) };
}
