/** `mairust explain`: the timeline of a message, as a table that people read. */
import type { TimelineBody } from "../../wire/api/messages.ts";
import { connect, segment } from "../client.ts";
import type { CommandContext } from "../command.ts";
import { requiredArg } from "../numbers.ts";
import { printTimeline } from "../timeline.ts";

export async function explain({ args, terminal, format, load }: CommandContext): Promise<void> {
  const { client } = await connect(load);
  const id = requiredArg(args, 0, "the id");
  const { body } = await client.get<TimelineBody>(`/api/v1/messages/${segment(id)}/timeline`);
  printTimeline(terminal, format, body);
}
