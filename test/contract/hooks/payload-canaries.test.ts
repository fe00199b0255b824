/** S1 at the place where payloads are made, for the message that is too large for the unit tests: every grant at every point. */
import { test } from "node:test";
import { canaryMail } from "../../lib/canary-mail.ts";
import { checkCanaries, HEAVY } from "../../unit/core/canary-matrix.ts";

for (const mail of canaryMail().filter(({ name }) => name === HEAVY))
  test(`canaries: ${mail.name}, every grant at every point`, () => checkCanaries(mail, "all"));
