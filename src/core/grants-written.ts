/** Grants written down again, for the ledger: the reverse of `grantsOf`. */
import type { Grants } from "./permissions-grants.ts";

/** Grants as `[plugin."…".grants]` writes them; what is not granted is left out. */
export function grantsAsWritten(grants: Grants): Readonly<Record<string, unknown>> {
  const written: Record<string, unknown> = {};
  for (const [name, right] of Object.entries(grants)) {
    const value: unknown = right instanceof Set ? [...right].sort() : right;
    const isNothing = value === false || value === "none" || (Array.isArray(value) && value.length === 0);
    // No header field at all is a grant all the same: it lets the envelope out.
    if (!isNothing || (name === "read_headers" && value !== false)) written[name] = value;
  }
  return written;
}
