/**
 * Fixtures of the sample plugins: `fixtures/<name>.eml` and beside it `<name>.toml` with envelope, settings and the expected verdict.
 * The payload is made by another mail parser than ours, from the manifest's permissions, so that a plugin is tested against the
 * contract and not against our code.
 */
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { type Attachment, simpleParser } from "mailparser";
import { parse } from "smol-toml";
import { decodeWords } from "../../src/core/mime/encoded-word.ts";
import { packageRoot } from "../../src/platform/package-root.ts";
import { parseManifest } from "../../src/plugins/manifest.ts";
import { resolveSettings } from "../../src/plugins/settings.ts";
import type { Manifest } from "../../src/wire/manifest.ts";

export interface Expected {
  readonly action: "deliver" | "reject" | "tempfail" | "hold";
  readonly code?: number;
  /** All of them. */
  readonly tags?: readonly string[];
  /** Names of added fields, all of them. */
  readonly headers?: readonly string[];
  /** Of the metadata, these. */
  readonly metadata?: Readonly<Record<string, unknown>>;
}

export interface Fixture {
  readonly name: string;
  readonly source: Buffer;
  readonly envelope: Readonly<Record<string, unknown>>;
  readonly settings: Readonly<Record<string, unknown>>;
  readonly expect: Expected;
}

export const pluginFolder = (name: string): string => join(packageRoot(), "plugins", name);

export async function readManifest(name: string): Promise<Manifest> {
  const file = join(pluginFolder(name), "plugin.toml");
  return parseManifest(await readFile(file, "utf8"), file);
}

export async function readFixtures(plugin: string): Promise<readonly Fixture[]> {
  const folder = join(pluginFolder(plugin), "fixtures");
  const names = (await readdir(folder)).filter(name => name.endsWith(".eml")).sort();
  return Promise.all(
    names.map(async file => {
      const name = file.slice(0, -".eml".length);
      const source = Buffer.from(
        (await readFile(join(folder, file), "latin1")).replace(/\r?\n/gu, "\r\n"),
        "latin1",
      );
      // Written beside the tests that read them.
      const {
        envelope = {},
        settings = {},
        expect,
      } = parse(await readFile(join(folder, `${name}.toml`), "utf8")) as unknown as Omit<
        Fixture,
        "name" | "source"
      >;
      return { name, source, envelope, settings, expect };
    }),
  );
}

/** The payload of one call, all of the manifest's permissions granted. */
export async function payloadOf(
  { name, source, envelope, settings }: Omit<Fixture, "expect">,
  manifest: Manifest,
): Promise<Record<string, unknown>> {
  const {
    read_headers: headers,
    read_body: body,
    read_attachments: attachments,
  } = manifest.permissions ?? {};
  const mail = await simpleParser(source, {
    skipHtmlToText: true,
    skipTextToHtml: true,
    skipImageLinks: true,
  });
  // "": there is no plain text.
  const text = mail.text || undefined;
  return {
    api: "mairust.hook/1",
    call_id: `fixture ${name}`,
    hook: manifest.hooks?.on[0],
    mode: "enforce",
    attempt: 1,
    deadline_ms: 2000,
    plugin: { id: manifest.id, version: manifest.version },
    received_at: "2026-01-01T00:00:00.000Z",
    size_bytes: source.length,
    settings: { ...resolveSettings(manifest.settings, {}).values, ...settings },
    ...(headers === undefined || headers === false ? {} : headerParts(mail.headerLines, headers, envelope)),
    ...(body === "preview" || body === "full"
      ? { body_preview: text === undefined ? null : preview(text) }
      : {}),
    ...(body === "full" ? { body: bodyOf(text, mail.html) } : {}),
    ...(attachments === "full" ? { attachments: mail.attachments.map(attachmentOf) } : {}),
    ...(attachments === "metadata" ? { attachments: mail.attachments.map(namesOf) } : {}),
  };
}

const CHARSET = { charset_declared: "utf-8", charset_used: "utf-8" };
const preview = (text: string) => ({ text, truncated: false, source: "plain", ...CHARSET, decode_errors: 0 });

function headerParts(
  lines: ReadonlyArray<{ readonly key: string; readonly line: string }>,
  allowed: true | readonly string[],
  envelope: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const names = allowed === true ? undefined : new Set(allowed.map(one => one.toLowerCase()));
  const fields = lines.map(({ line }) => ({
    name: line.slice(0, line.indexOf(":")).trimEnd(),
    value: decodeWords(line.slice(line.indexOf(":") + 1).replace(/\r?\n/gu, "")).trim(),
  }));
  return {
    provenance: [],
    headers: fields.filter(({ name }) => names === undefined || names.has(name.toLowerCase())),
    headers_truncated: false,
    envelope: {
      ...{ mail_from: "", rcpt_to: [], client_ip: null, client_name: null, helo: null, tls: null },
      ...{ auth_user: null, queue_id: null, ...envelope },
    },
  };
}

function bodyOf(text: string | undefined, html: string | false): readonly object[] {
  const part = (type: string, content: string) => ({ type, text: content, truncated: false, ...CHARSET });
  return [
    ...(text === undefined ? [] : [part("text/plain", text)]),
    ...(html === false ? [] : [part("text/html", html)]),
  ];
}

function namesOf({ content, filename, contentType, contentDisposition }: Attachment, index: number) {
  return {
    index,
    filename: filename ?? null,
    content_type: contentType,
    size_bytes: content.length,
    disposition: contentDisposition,
    content_id: null,
  };
}

function attachmentOf(attachment: Attachment, index: number) {
  const { content } = attachment;
  return {
    ...namesOf(attachment, index),
    sha256: createHash("sha256").update(content).digest("hex"),
    preview_base64: content.subarray(0, 4096).toString("base64"),
    preview_truncated: content.length > 4096,
    content_base64: content.toString("base64"),
  };
}
