/**
 * One Maildir file, opened and read. Small ones are read at once, so that several can be under way; large ones are streamed.
 * A file that is none, that vanished or that cannot be read is a result with a reason, never an end of the import.
 */
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { messageOf } from "../core/errors.ts";
import { CrlfConverter } from "./crlf.ts";
import { errnoOf } from "./maildir-folders.ts";

/** Read at once up to this size. */
const SMALL_BYTES = 256 * 1024;
const CHUNK_BYTES = 128 * 1024;

export type LoadedFile =
  | {
      readonly kind: "message";
      /** INTERNALDATE: the file's modification time, in whole seconds as Dovecot shows it. */
      readonly date: Date;
      readonly sizeBytes: number;
      /** As they were when it was read; absent: as they were listed. */
      readonly flags?: { readonly flags: readonly string[]; readonly keywords: readonly string[] };
      /** Once; the file is closed after it. @throws {FileChanged} it ended early or late, or could not be read on */
      chunks(): AsyncIterable<Buffer>;
      /** Without reading it. */
      close(): Promise<void>;
    }
  | { readonly kind: "vanished" }
  | { readonly kind: "bad"; readonly reason: BadFile; readonly detail: string };

export type BadFile = "not_a_file" | "unreadable" | "compressed" | "encrypted" | "unfetchable";

/** What was read is not the message. */
export class FileChanged extends Error {}

/** First bytes of what Dovecot's plugins write in place of a message. */
const FORMS: readonly (readonly [reason: BadFile, magic: Buffer])[] = [
  ["compressed", Buffer.from([0x1f, 0x8b])],
  ["compressed", Buffer.from("BZh", "latin1")],
  ["compressed", Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00])],
  ["compressed", Buffer.from([0x28, 0xb5, 0x2f, 0xfd])],
  ["encrypted", Buffer.from("CRYPTED\x03\x07", "latin1")],
];
const MAGIC_BYTES = 16;

/** @param exact  keep line ends; else they become CRLF */
export async function loadFile(path: Buffer, exact: boolean): Promise<LoadedFile> {
  const handle = await openFile(path);
  if ("kind" in handle) return handle;
  try {
    const info = await handle.stat();
    if (!info.isFile())
      return await closed(handle, { kind: "bad", reason: "not_a_file", detail: "no regular file" });
    const start = await readSome(handle, Math.min(info.size, SMALL_BYTES), 0);
    const form = FORMS.find(([, magic]) =>
      start.subarray(0, MAGIC_BYTES).subarray(0, magic.length).equals(magic),
    );
    if (form !== undefined)
      return await closed(handle, { kind: "bad", reason: form[0], detail: "by a plugin of Dovecot" });
    const date = new Date(Math.floor(info.mtimeMs / 1000) * 1000);
    const isSmall = start.length === info.size;
    if (isSmall) await handle.close();
    return {
      kind: "message",
      date,
      sizeBytes: info.size,
      chunks: () => converted(isSmall ? [start] : restOf(handle, start, info.size), exact),
      close: async () => {
        if (!isSmall) await handle.close();
      },
    };
  } catch (error) {
    await handle.close().catch(() => undefined);
    return { kind: "bad", reason: "unreadable", detail: messageOf(error) };
  }
}

async function closed(handle: FileHandle, result: LoadedFile): Promise<LoadedFile> {
  await handle.close();
  return result;
}

async function openFile(path: Buffer): Promise<FileHandle | LoadedFile> {
  try {
    // A FIFO would wait for its writer, a link could lead anywhere.
    return await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    const code = errnoOf(error);
    if (code === "ENOENT") return { kind: "vanished" };
    if (code === "ELOOP" || code === "ENXIO")
      return { kind: "bad", reason: "not_a_file", detail: code === "ELOOP" ? "a symbolic link" : "a socket" };
    return { kind: "bad", reason: "unreadable", detail: messageOf(error) };
  }
}

/** Up to `bytes` octets: fewer only at the end of the file. */
async function readSome(handle: FileHandle, bytes: number, position: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(bytes);
  let filled = 0;
  while (filled < bytes) {
    const { bytesRead } = await handle.read(buffer, filled, bytes - filled, position + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return buffer.subarray(0, filled);
}

async function* restOf(handle: FileHandle, start: Buffer, sizeBytes: number): AsyncIterable<Buffer> {
  try {
    yield start;
    for (let at = start.length; at < sizeBytes; ) {
      const chunk = await readSome(handle, Math.min(CHUNK_BYTES, sizeBytes - at), at).catch(
        (error: unknown) => {
          throw new FileChanged(messageOf(error));
        },
      );
      if (chunk.length === 0) throw new FileChanged("it became shorter while it was read");
      at += chunk.length;
      yield chunk;
    }
  } finally {
    await handle.close();
  }
}

async function* converted(
  chunks: Iterable<Buffer> | AsyncIterable<Buffer>,
  exact: boolean,
): AsyncIterable<Buffer> {
  const converter = new CrlfConverter();
  for await (const chunk of chunks) if (chunk.length > 0) yield exact ? chunk : converter.convert(chunk);
}
