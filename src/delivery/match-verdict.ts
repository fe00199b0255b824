/**
 * Which of the milter's verdicts is about a recipient that LMTP sees (message path, step 6). Pure.
 *
 * Between the two the MTA rewrites: an alias becomes its members. It keeps the address that the client gave as ORCPT, unless the
 * client named an ORCPT of its own, which it keeps then; so the pair (recipient, ORCPT) of the milter is found again by the ORCPT.
 * It tells the ORCPT only to a server that announces DSN; to any other an alias is an address that the milter has not seen.
 * A client can name whatever ORCPT it likes: where that makes two verdicts fit that differ, none does, and the message is judged here.
 */
import type { EnvelopeRecipient } from "../core/envelope.ts";
import type { CarriedVerdict, VerdictRecord } from "../core/ports/verdicts.ts";
import { isSame } from "../core/same-decision.ts";

/** @returns undefined: no verdict is about this recipient */
export function matchVerdict(
  record: VerdictRecord,
  recipient: EnvelopeRecipient,
): CarriedVerdict | undefined {
  const { verdicts, uniform } = record;
  const address = recipient.address.raw.toLowerCase();
  const original = originalOf(address, recipient.orcpt ?? "");
  const fits = verdicts.map(verdict => ({
    verdict,
    byAddress: verdict.recipient.toLowerCase() === address,
    byOriginal: originalOf(verdict.recipient, verdict.orcpt) === original,
  }));
  const pairs = fits.filter(one => one.byAddress && one.byOriginal);
  const originals = fits.filter(one => one.byOriginal);
  const addresses = fits.filter(one => one.byAddress);
  const [best = []] = [pairs, originals, addresses].filter(list => list.length > 0);
  const [first] = best;
  if (first !== undefined && best.every(one => isSame(one.verdict.decision, first.verdict.decision)))
    return first.verdict;
  return uniform ? verdicts[0] : undefined;
}

/** `rfc822;user@host` is `user@host`. Without ORCPT the address is the original. */
function originalOf(address: string, orcpt: string): string {
  const text = orcpt === "" ? address : orcpt.replace(/^(?:rfc822|utf-8);/iu, "");
  return text.toLowerCase();
}
