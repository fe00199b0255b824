// Tags mail whose subject holds one of a few words.
import { Plugin } from "./mairust.mjs";

export const plugin = new Plugin();

/** Width and case do not count. @param {string} text */
const plain = text => text.normalize("NFKC").toLowerCase();

plugin.on("pre_delivery", (message, verdict, call) => {
  const subject = plain(message.subject);
  const words = String(call.settings.words ?? "").split(",");
  const found = words.map(word => plain(word.trim())).find(word => word !== "" && subject.includes(word));
  if (found === undefined) return;
  verdict.tag(String(call.settings.tag)).explain(`the subject holds "${found}"`);
});

await plugin.run(import.meta);
