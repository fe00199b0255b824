/** A service with one plugin that has a child outside of every group; says what the plugin sees and waits to be killed. */
import { sleep } from "../../../../src/platform/deadline.ts";
import { answerOf, rigOf, sleepers, started } from "./rig.ts";

const [tier = "2", seconds = "1"] = process.argv.slice(2);
const rig = await rigOf(Number(tier) as 1 | 2 | 3);
const transport = await started(rig.transport("com.example.orphan"));
const seen = await answerOf(transport, "look");
// Busy and deaf: the end of its input alone would not end it.
void answerOf(transport, "escape_and_hang", { seconds }, 600_000).catch(() => {});
while (sleepers(seconds).length === 0) await sleep(20);
process.stdout.write(`${seen}\n`);
await sleep(600_000);
