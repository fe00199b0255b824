/**
 * Archives of plugins byte by byte, well made and badly, without any of the code under test: headers are written from the field table of
 * POSIX ustar, gzip comes from zlib.
 */
import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";

export interface TarEntry {
  readonly name: string;
  readonly data?: Uint8Array | string;
  /** Default "0". */
  readonly type?: string;
  readonly mode?: string;
  readonly linkname?: string;
  readonly prefix?: string;
  /** What stands in the size field; default: the size of `data`. */
  readonly size?: string;
  readonly checksum?: number;
  readonly magic?: string;
  /** Bytes of the padding behind the data; default NUL. */
  readonly padding?: number;
  /** Changes the header after its checksum was made, or before. */
  readonly after?: (header: Buffer) => void;
  readonly before?: (header: Buffer) => void;
}

const octal = (value: number, digits: number) => value.toString(8).padStart(digits, "0");

export function tarEntry(entry: TarEntry): Buffer {
  const data = Buffer.from(entry.data ?? "");
  const header = Buffer.alloc(512);
  const put = (at: number, text: string) => header.write(text, at, "latin1");
  put(0, entry.name);
  put(100, `${entry.mode ?? "0000644"}\0`);
  put(108, "0000000\0");
  put(116, "0000000\0");
  put(124, entry.size ?? `${octal(data.length, 11)}\0`);
  put(136, "00000000000\0");
  put(156, entry.type ?? "0");
  put(157, entry.linkname ?? "");
  put(257, entry.magic ?? "ustar\x0000");
  put(345, entry.prefix ?? "");
  entry.before?.(header);
  put(148, "        ");
  const sum = entry.checksum ?? header.reduce((total, octet) => total + octet, 0);
  put(148, `${octal(sum, 6)}\0 `);
  entry.after?.(header);
  const padding = Buffer.alloc((512 - (data.length % 512)) % 512, entry.padding ?? 0);
  return Buffer.concat([header, data, padding]);
}

export const END_MARK = Buffer.alloc(1024);

export function tar(entries: readonly TarEntry[], end: Uint8Array = END_MARK): Buffer {
  return Buffer.concat([...entries.map(tarEntry), end]);
}

export const sha256Of = (data: Uint8Array | string): string =>
  createHash("sha256").update(data).digest("hex");

export const PLUGIN_TOML = `id = "com.example.filter"
name = "Filter"
version = "1.2.3"
[entry]
type = "hook"
protocol = "script"
command = ["sh", "server/main.sh"]
[hooks]
on = ["post_receive"]
[permissions]
read_headers = true
`;

export interface Listed {
  readonly path: string;
  readonly size: number;
  readonly sha256: string;
}

/** The good plugin of the tests, without its `manifest.json`. */
export const FILES: Readonly<Record<string, string>> = {
  "README.md": "A filter.\n",
  "plugin.toml": PLUGIN_TOML,
  "server/main.sh": "#!/bin/sh\necho '{}'\n",
};

export const listed = (files: Readonly<Record<string, string | Uint8Array>>): readonly Listed[] =>
  Object.entries(files)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([path, data]) => ({ path, size: Buffer.byteLength(data), sha256: sha256Of(data) }));

/** As the command writes it. @param change  what else stands there */
export function contentsJson(
  files: Readonly<Record<string, string | Uint8Array>> = FILES,
  change: Readonly<Record<string, unknown>> = {},
): string {
  const contents = { id: "com.example.filter", version: "1.2.3", api: "1", files: listed(files), ...change };
  return `${JSON.stringify(contents, null, 2)}\n`;
}

/** Entries of a whole package in their order. */
export function packageEntries(
  files: Readonly<Record<string, string | Uint8Array>> = FILES,
  contents: string = contentsJson(files),
): readonly TarEntry[] {
  return Object.entries({ ...files, "manifest.json": contents }).map(([name, data]) => ({ name, data }));
}

/** A package of these entries. */
export const packed = (entries: readonly TarEntry[] = packageEntries()): Buffer => gzipSync(tar(entries));
