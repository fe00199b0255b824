/** What the checks of one message found out, as it comes out of their thread (message path, step 2), and what they are given. */
import type { AuthResult } from "../core/ports/sender-auth.ts";

export type CheckName = "spf" | "dkim" | "dmarc" | "arc";

/** Texts are printable and short, or come from the message and are neither: who writes them somewhere sees to that. */
export interface Finding {
  readonly result: AuthResult;
  /** Why not `pass`. */
  readonly why?: string;
}

export interface SpfFinding extends Finding {
  readonly identity: "mailfrom" | "helo";
  /** Address or host name that was checked. */
  readonly value: string;
}

export interface SignatureFinding extends Finding {
  readonly domain: string;
  readonly selector: string;
  readonly algorithm: string;
  /** First characters of the signature: tells two of one domain apart (RFC 6008). */
  readonly b: string;
}

export interface DmarcFinding extends Finding {
  /** Domain of From; "" for none. */
  readonly from: string;
  readonly policy?: string;
}

export interface ArcFinding extends Finding {
  /** Of the newest set; 0 for none. */
  readonly instance: number;
}

/** A check that is off is absent. */
export interface Findings {
  readonly spf?: SpfFinding;
  /** In the order of the fields; empty: not signed. */
  readonly dkim?: readonly SignatureFinding[];
  readonly dmarc?: DmarcFinding;
  readonly arc?: ArcFinding;
}

export interface CheckedSubject {
  readonly checks: readonly CheckName[];
  /** Undefined: not known, or of this host. */
  readonly ip?: string;
  readonly helo?: string;
  readonly mailFrom: string;
  /** Our own name. */
  readonly mta: string;
}

/** DNS as the library wants it: rows, or an error with a `code`; `ETIMEOUT` for all that may heal. */
export type Resolve = (name: string, type: string) => Promise<readonly unknown[]>;
