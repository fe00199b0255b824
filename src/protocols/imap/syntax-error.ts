/** The one way a decoder of this folder says no: the session answers it with `BAD` and counts it. */
import { MairustError } from "../../core/errors.ts";

/** @param message  what the client sees after `BAD`; never contains what the client sent */
export class ImapSyntaxError extends MairustError {
  constructor(message: string) {
    super("invalid_argument", message, { publicText: message });
  }
}
