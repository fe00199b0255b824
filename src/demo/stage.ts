/** What every scene of the demonstration works with. */
import type { Dovecot } from "../mailhost/dovecot.ts";
import type { Postfix } from "../mailhost/postfix.ts";
import type { TimelineBody } from "../wire/api/messages.ts";
import type { Program, Sidecar } from "./sidecar.ts";
import type { Site } from "./site.ts";

export interface DemoOptions extends Program {
  readonly once: boolean;
  /** One line for people. */
  readonly say: (text: string) => void;
  readonly showTimeline: (timeline: TimelineBody) => void;
  /** What holds plugins on this host, or why nothing does. */
  readonly hostSandbox: { readonly tier: number } | { readonly problem: string };
  readonly signals: () => { next(): Promise<string>; release(): void };
}

/** One message, from SMTP to IMAP. */
export const MESSAGE_MS = 60_000;

export interface Stage {
  readonly options: DemoOptions;
  readonly site: Site;
  readonly sidecar: Sidecar;
  readonly postfix: Postfix;
  readonly dovecot: Dovecot;
  readonly password: string;
  /** Ends every wait. */
  readonly stop: AbortSignal;
}
