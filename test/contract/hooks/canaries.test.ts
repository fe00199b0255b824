/** S1 at the place where payloads are made: every grant that reads × every point × every message of `canary-mail.ts`. */
import { test } from "node:test";
import { canaryMail } from "../../lib/canary-mail.ts";
import { checkCanaries } from "../../unit/core/canary-matrix.ts";

for (const mail of canaryMail()) test(`canaries: ${mail.name}`, () => checkCanaries(mail, "all"));
