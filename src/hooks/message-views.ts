/**
 * What hooks read of a message, read once: headers are decoded and the preview is fetched for the first plugin that may see
 * them, and shared by all hooks and recipients of the transaction. Forgotten with the message.
 */

import { unpackStructure } from "../core/mime/packed.ts";
import type { MessageView } from "../core/permissions.ts";
import type { Grants } from "../core/permissions-grants.ts";
import { HeaderView } from "../core/permissions-headers.ts";
import { planPreview, previewOf } from "../core/permissions-preview.ts";
import type { MessageContent, MessageFacts } from "../core/ports/hooks.ts";

interface Cached {
  readonly headers: HeaderView;
  preview: Promise<NonNullable<MessageView["preview"]>> | undefined;
}

export class MessageViews {
  readonly #cache = new WeakMap<MessageContent, Cached>();

  headers(facts: MessageFacts): HeaderView {
    return this.#of(facts).headers;
  }

  /**
   * Read what the grants allow, no more.
   * @throws {MairustError} `blob_missing`, `blob_damaged`
   */
  async view(facts: MessageFacts, grants: Grants): Promise<MessageView> {
    const cached = this.#of(facts);
    if (grants.read_body === "none") return { facts, headers: cached.headers, preview: undefined };
    cached.preview ??= readPreview(facts);
    return { facts, headers: cached.headers, preview: await cached.preview };
  }

  #of(facts: MessageFacts): Cached {
    const known = this.#cache.get(facts.content);
    if (known !== undefined) return known;
    const fresh: Cached = { headers: new HeaderView(facts.header), preview: undefined };
    this.#cache.set(facts.content, fresh);
    return fresh;
  }
}

async function readPreview(facts: MessageFacts): Promise<NonNullable<MessageView["preview"]>> {
  const { source, mimeTruncated } = planPreview(unpackStructure(facts.structure).parts);
  if (source === undefined) return { body: null, mimeTruncated };
  const chunks: Uint8Array[] = [];
  for await (const chunk of facts.content.read(source.range)) chunks.push(chunk);
  return { body: previewOf(Buffer.concat(chunks), source), mimeTruncated };
}
