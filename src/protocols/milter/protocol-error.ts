/** What an MTA can do wrong on a milter connection. It is closed and counted; nothing else is affected. */
import { MairustError } from "../../core/errors.ts";

/**
 * syntax: a field is missing or malformed. order: a command that the state does not allow. too_long: a packet beyond the limit.
 * negotiation: the MTA cannot do what is needed.
 */
export type MilterFault = "syntax" | "order" | "too_long" | "negotiation";

export class MilterProtocolError extends MairustError {
  readonly fault: MilterFault;

  constructor(fault: MilterFault, message: string) {
    super("data_invalid", message);
    this.fault = fault;
  }
}
