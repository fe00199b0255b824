// Holds mail on its way out when it carries what should stay. It says what it found, never what it was.
import { Plugin } from "./mairust.mjs";

export const plugin = new Plugin();

/** The check digit of card numbers (ISO/IEC 7812-1). @param {string} digits */
function isCard(digits) {
  let sum = 0;
  for (const [i, digit] of [...digits].reverse().entries()) {
    const value = Number(digit) * (i % 2 === 0 ? 1 : 2);
    sum += value > 9 ? value - 9 : value;
  }
  return sum % 10 === 0;
}

/** @param {string} text @param {boolean} cards @returns {string | undefined} */
function finding(text, cards) {
  const numbers = text.match(/\b(?:\d[ -]?){12,18}\d\b/gu) ?? [];
  if (cards && numbers.some(number => isCard(number.replace(/\D/gu, "")))) return "a card number";
  if (/\bAKIA[0-9A-Z]{16}\b/u.test(text) || text.includes("-----BEGIN PRIVATE KEY-----")) return "a key";
  return undefined;
}

plugin.on("pre_send", (message, verdict, call) => {
  for (const { text } of message.body) {
    const found = finding(text, call.settings.cards === true);
    if (found !== undefined) return verdict.hold(`${found} in the text`);
  }
});

await plugin.run(import.meta);
