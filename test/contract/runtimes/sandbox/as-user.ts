/** The attacks in one tier, in a process of its own. */
import { attackTests } from "./attacks.ts";

await attackTests(process.argv[2] === "1" ? 1 : 2);
