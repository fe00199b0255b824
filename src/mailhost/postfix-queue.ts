/**
 * `postqueue -j` parsed: one JSON object per line and message. Pure.
 *
 * Source: postqueue(1), "JSON OBJECT FORMAT".
 */
import { MairustError } from "../core/errors.ts";

export interface QueuedMessage {
  /** `incoming`, `active`, `deferred`, `hold` … */
  readonly queueName: string;
  readonly queueId: string;
  readonly sender: string;
  readonly recipients: ReadonlyArray<{ readonly address: string; readonly delayReason: string | undefined }>;
}

/**
 * @param text  what `postqueue -j` printed
 * @throws {MairustError} `data_invalid` a line is not of that format
 */
export function parseQueue(text: string): QueuedMessage[] {
  return text
    .split("\n")
    .filter(line => line.trim() !== "")
    .map(parseLine);
}

function parseLine(line: string): QueuedMessage {
  const value = parseJson(line);
  if (
    !isRecord(value) ||
    typeof value.queue_name !== "string" ||
    typeof value.queue_id !== "string" ||
    typeof value.sender !== "string" ||
    !Array.isArray(value.recipients)
  ) {
    throw new MairustError(
      "data_invalid",
      `Cannot read queue entry ${JSON.stringify(line)}: fields are missing`,
    );
  }
  const recipients = value.recipients.filter(isRecord).map(recipient => ({
    address: String(recipient.address),
    delayReason: typeof recipient.delay_reason === "string" ? recipient.delay_reason : undefined,
  }));
  return { queueName: value.queue_name, queueId: value.queue_id, sender: value.sender, recipients };
}

function parseJson(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch (error) {
    throw new MairustError("data_invalid", `Cannot read queue entry ${JSON.stringify(line)}: no JSON`, {
      cause: error,
    });
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
