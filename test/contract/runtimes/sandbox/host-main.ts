/** A service with one plugin that has a child outside of every group; says what the plugin sees and waits to be killed. */
import { sleep } from "../../../../src/platform/deadline.ts";
import { answerOf, rigOf, started } from "./rig.ts";

const [tier = "2", seconds = "1"] = process.argv.slice(2);
const rig = await rigOf(Number(tier) as 1 | 2 | 3);
const transport = await started(rig.transport("com.example.orphan"));
await answerOf(transport, "escape", { seconds });
process.stdout.write(`${await answerOf(transport, "look")}\n`);
await sleep(600_000);
