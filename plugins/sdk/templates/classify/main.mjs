// Says what kind of mail a message is. The rule is a toy: put yours into classify().
import { Plugin } from "./mairust.mjs";

export const plugin = new Plugin();

const WORDS = {
  invoice: ["invoice", "payment", "total", "請求書", "お支払い"],
  newsletter: ["unsubscribe", "newsletter", "配信停止"],
};

/** @returns the class that fits best, and how well: 0 to 1 */
function classify(message) {
  const text = `${message.subject}\n${message.preview?.text ?? ""}`.normalize("NFKC").toLowerCase();
  const scores = Object.entries(WORDS).map(([name, words]) => {
    const found = words.filter(word => text.includes(word)).length;
    const bonus = name === "newsletter" && message.header("List-Unsubscribe") !== "" ? 0.5 : 0;
    return { name, score: Math.min(1, found * 0.3 + bonus) };
  });
  return scores.reduce((best, one) => (one.score > best.score ? one : best));
}

plugin.on("pre_delivery", (message, verdict, call) => {
  const { name, score } = classify(message);
  verdict.metadata("score", score);
  if (score < Number(call.settings.threshold)) return;
  verdict
    .tag(name)
    .metadata("class", name)
    .explain(`${name}, score ${score.toFixed(1)}`);
});

await plugin.run(import.meta);
