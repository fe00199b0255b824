/**
 * The lines of the journal of relayed mail (message path, step 7), each a JSON object:
 *
 *   {"k":"sent"}     the end of a message is about to be sent. Written, not fsynced: it outlives the process. A machine that loses its
 *                    power may lose it, and then a message that is relayed twice is not counted
 *   {"k":"over"}     that relay is recorded in the database, or was not taken; `left`: recipients of whom nobody knows; `ok`: those for
 *                    whom it is recorded
 *   {"k":"done"}     what `over` and `loaded` said of recorded recipients, once the file was written anew
 *   {"k":"taken"}    the next hop took it and the database is away. fsynced before the MTA is answered
 *   {"k":"loaded"}   that line is in the database
 *
 * A line that is torn at the end of the file is what a killed process was writing: nothing followed from it. Pure.
 */
import type { BlobDigest } from "../core/ids.ts";
import type { RelayResult } from "../core/ports/relay-records.ts";

export type Line =
  | { k: "sent"; id: string; m: string; q: string; d: string; r: readonly string[]; at: number }
  | { k: "over"; id: string; left?: readonly string[]; ok?: readonly string[] }
  | { k: "done"; q: string; d: string; at: number; r: readonly (readonly [raw: string, m: string])[] }
  | { k: "taken"; id: string; at: number; result: RelayResult }
  | { k: "loaded"; id: string };

/** @returns undefined: it is empty, or cannot be read: it was being written when the process was killed */
export function readLine(text: string): Line | undefined {
  if (text === "") return undefined;
  try {
    const line: Line = JSON.parse(text);
    if (line.k !== "taken") return line;
    const { result } = line;
    const events = result.events.map(event => ({ ...event, at: new Date(event.at) }));
    return { ...line, result: { ...result, digest: result.digest as BlobDigest, events } };
  } catch {
    return undefined;
  }
}
