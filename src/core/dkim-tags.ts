/**
 * The tag list of a DKIM-Signature, of the ARC fields, and of a key's record (RFC 6376 §3.2). Pure.
 */

export interface TagList {
  /** Names in lower case; values without any white space. Of a tag that stands there twice the first. */
  readonly tags: ReadonlyMap<string, string>;
  /** RFC 6376 §3.2: then the whole list is invalid. */
  readonly hasDouble: boolean;
}

/** @param text  unfolded */
export function tagList(text: string): TagList {
  const tags = new Map<string, string>();
  let hasDouble = false;
  for (const item of text.split(";")) {
    const at = item.indexOf("=");
    const name = item.slice(0, Math.max(at, 0)).trim().toLowerCase();
    if (name === "") continue;
    if (tags.has(name)) hasDouble = true;
    else tags.set(name, item.slice(at + 1).replace(/\s/g, ""));
  }
  return { tags, hasDouble };
}
