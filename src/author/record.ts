/** `plugin record`: a fixture from a real message, redacted. What it expects is written by `plugin test --update`. */
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { stringify } from "smol-toml";
import { MairustError } from "../core/errors.ts";
import type { RecordOptions, RecordReport } from "../wire/author-calls.ts";
import { FIXTURES_FOLDER, MAX_MESSAGE_BYTES } from "./fixture.ts";
import { readProject } from "./project.ts";
import { redactMessage } from "./redact/message.ts";

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/u;

/** @throws {MairustError} `plugin_load`, `invalid_argument`, `already_exists`, `message_too_large` */
export async function recordFixture(options: RecordOptions): Promise<RecordReport> {
  const { message, keepText, dryRun, recipients, mailFrom } = options;
  const { folder } = await readProject(options.folder);
  if (message.byteLength > MAX_MESSAGE_BYTES)
    throw new MairustError(
      "message_too_large",
      `Cannot record a message of ${message.byteLength} bytes: at most ${MAX_MESSAGE_BYTES}`,
    );
  const dir = join(folder, FIXTURES_FOLDER);
  const name = await freeName(dir, options.name);
  const redacted = redactMessage(message, keepText ? "addresses" : "all");
  const envelope = {
    ...(mailFrom === undefined ? {} : { mail_from: redacted.address(mailFrom) }),
    ...(recipients.length === 0 ? {} : { rcpt_to: recipients.map(redacted.address) }),
  };
  const files = [`${name}.eml`, `${name}.toml`].map(file => join(FIXTURES_FOLDER, file));
  if (!dryRun) {
    await mkdir(dir, { recursive: true });
    await writeFile(join(dir, `${name}.eml`), redacted.bytes, { flag: "wx" });
    await writeFile(join(dir, `${name}.toml`), tomlOf(envelope), { flag: "wx" });
  }
  const { addresses, words, attachments } = redacted;
  return {
    fixture: name,
    files,
    size_bytes: redacted.bytes.byteLength,
    addresses,
    words,
    attachments,
    kept_text: keepText,
  };
}

function tomlOf(envelope: Readonly<Record<string, unknown>>): string {
  const comment = "# Recorded and redacted.\n";
  return Object.keys(envelope).length === 0 ? comment : `${comment}${stringify({ envelope })}\n`;
}

/** Nothing is written over. */
async function freeName(dir: string, asked: string | undefined): Promise<string> {
  if (asked !== undefined && !NAME.test(asked))
    throw new MairustError(
      "invalid_argument",
      `Cannot record fixture "${asked}": a name has letters, digits, dots and dashes`,
    );
  const there = new Set(
    (await readdir(dir).catch(() => [])).map(file => file.replace(/\.(?:eml|toml)$/u, "")),
  );
  if (asked !== undefined) {
    if (there.has(asked))
      throw new MairustError(
        "already_exists",
        `Cannot record fixture "${asked}": "${dir}" has one of this name`,
      );
    return asked;
  }
  for (let n = 1; ; n++) if (!there.has(`recorded-${n}`)) return `recorded-${n}`;
}
