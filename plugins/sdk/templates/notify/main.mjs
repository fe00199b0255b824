// Tells a web server of new mail. What throws is a failure: the host calls again, later.
import { Plugin } from "./mairust.mjs";

export const plugin = new Plugin();

plugin.on("post_receive", async (message, verdict, call) => {
  const { url } = call.settings;
  if (url === undefined) {
    verdict.explain("no url is set");
    return;
  }
  const body = JSON.stringify({ from: message.from, subject: message.subject });
  const headers = { "content-type": "application/json" };
  const answer = await call.fetch(String(url), { method: "POST", headers, body });
  if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
  verdict.explain("told");
});

await plugin.run(import.meta);
