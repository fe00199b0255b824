/** Starts a private Postfix and Dovecot in the folder given, prints their process ids, and dies at once by SIGKILL. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { startDovecot } from "../../src/mailhost/dovecot.ts";
import { startPostfix } from "../../src/mailhost/postfix.ts";
import { deadlineAfter } from "../../src/platform/deadline.ts";

const root = process.argv[2] ?? "";
const [postfixDir, dovecotDir] = [join(root, "postfix"), join(root, "dovecot")];
mkdirSync(postfixDir);
mkdirSync(dovecotDir);
const deadline = deadlineAfter(30_000);
const postfix = await startPostfix({ dir: postfixDir, domains: ["a.test"] }, deadline);
const dovecot = await startDovecot({ dir: dovecotDir, mode: { kind: "maildir" }, users: [] }, deadline);
process.stdout.write(`${postfix.pid} ${dovecot.pid}\n`, () => process.kill(process.pid, "SIGKILL"));
