/**
 * The few words of a message that a list of mails shows beside its subject. Pure, fails never; stops reading once it has enough.
 * Source: RFC 8970 §3.2 (at most 200 characters of plain text).
 */

/** Code points of a preview. */
const PREVIEW_CHARS = 200;

/** Between white space and controls. PostgreSQL takes no NUL, and a line of a list no control. */
const WORD = /[^\s\p{Cc}]+/gu;

/** What senders fill the start of their mail with so that lists show nothing more: soft hyphens, joiners, zero-width spaces. */
const UNSEEN = /^(?:\p{Cf}|\u034f|\u115f|\u2800)+$/u;

/** Begins what nobody can read (RFC 9580 §6.2); such words preview nothing. */
const ENCRYPTED = "-----BEGIN PGP MESSAGE-----";

/**
 * @param text  decoded; of HTML what is left without its tags
 * @returns     one line; "" when there are no words
 */
export function makePreview(text: string): string {
  let preview = "";
  let left = PREVIEW_CHARS;
  for (const [word] of text.matchAll(WORD)) {
    if (left <= 0) break;
    if (UNSEEN.test(word)) continue;
    // No more UTF-16 units than that can be shown; a lone surrogate cannot travel as UTF-8.
    const shown = [...word.slice(0, 2 * left).toWellFormed()].slice(0, left);
    preview += preview === "" ? shown.join("") : ` ${shown.join("")}`;
    left -= shown.length + 1;
  }
  const secret = preview.indexOf(ENCRYPTED);
  return secret < 0 ? preview : preview.slice(0, secret).trimEnd();
}
