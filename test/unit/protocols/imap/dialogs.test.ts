import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { packageRoot } from "../../../../src/platform/package-root.ts";
import { playDialog } from "../../../dialogs/dialog.ts";
import { startTestServer, TestClient } from "./harness.ts";

const DIR = join(packageRoot(), "test/dialogs/imap");

for (const file of readdirSync(DIR)) {
  test(`the server keeps to ${file}`, async () => {
    const server = await startTestServer();
    server.store.inbox.deliver("Subject: first\r\n\r\n1", {
      prefix: "Delivered-To: ann@a.test\r\nX-Mark: a\r\n",
    });
    server.store.inbox.deliver("Subject: second\r\n\r\n2");
    server.store.add("Junk", "\\Junk");
    const client = new TestClient(server.port);
    try {
      await playDialog(file, readFileSync(join(DIR, file), "utf8"), client);
    } finally {
      client.close();
      await server.close();
    }
  });
}
