/**
 * The moment from which a session is told MODSEQs: ENABLE CONDSTORE, or the first command that speaks of them. Nothing takes it
 * back. Source: RFC 7162 §3.1, §3.1.2.
 */
import type { SessionContext } from "./context.ts";

/**
 * Called by every command that enables CONDSTORE (RFC 7162 §3.1): SELECT (CONDSTORE), STATUS (HIGHESTMODSEQ), FETCH of MODSEQ or with
 * CHANGEDSINCE, SEARCH MODSEQ, STORE UNCHANGEDSINCE, ENABLE. From now on every FETCH answer with FLAGS has a MODSEQ. When it is new
 * and a mailbox is selected, the MODSEQ of the announced state is told: never of a newer one, whose expunges the client has not seen.
 */
export function enableCondstore({ enabled, output, selected }: SessionContext): void {
  if (enabled.condstore) return;
  enabled.condstore = true;
  if (selected !== undefined) output.text(`* OK [HIGHESTMODSEQ ${selected.view.highestModseq}] Highest\r\n`);
}
