// Looks through mail on its way out for what should stay. It says how many of what it found and where, never what it was: neither the
// answer nor the log holds a digit of it.
import { MY_NUMBER_WORD, numbersIn, secretsIn, wordsIn } from "./find.mjs";
import { Plugin } from "./mairust.mjs";
import { textOfBytes, textOfHtml, usual } from "./text.mjs";

export const plugin = new Plugin();

const STRENGTH = ["off", "tag", "hold", "reject"];
const NAMES = {
  my_number: ["My Number", "マイナンバー"],
  card: ["card number", "カード番号"],
  secret: ["secret", "認証情報"],
  word: ["listed word", "指定語"],
  unread: ["unread part", "読めない部分"],
};
const MAX_WORDS = 200;
const MAX_PLACES = 5;

const listOf = setting =>
  String(setting ?? "")
    .split(",")
    .map(one => usual(one).trim().toLowerCase())
    .filter(one => one !== "");

/** Everybody it goes to may have it. */
function isAllowed(recipients, allow) {
  const mayHave = (address, domain) =>
    allow.some(one => (one.startsWith(".") ? domain.endsWith(one) : one === domain || one === address));
  const lower = recipients.map(one => one.toLowerCase());
  return lower.length > 0 && lower.every(one => mayHave(one, one.slice(one.lastIndexOf("@") + 1)));
}

/** Every text at hand, one at a time. */
function* textsOf(message) {
  yield { place: "subject", text: message.subject };
  for (const { type, text, truncated } of message.body) {
    const isHtml = type === "text/html";
    yield { place: isHtml ? "HTML" : "text", text: isHtml ? textOfHtml(text) : text, truncated };
    // What a link or a comment carries leaves, too.
    if (isHtml) yield { place: "HTML", text, secretsOnly: true };
  }
  if (message.body.length === 0 && message.preview !== null) yield { place: "text", ...message.preview };
  for (const attachment of message.attachments) {
    const place = `attachment ${attachment.index + 1}`;
    yield { place, text: attachment.filename ?? "" };
    const bytes = message.bytesOf(attachment);
    const text = bytes === null ? undefined : textOfBytes(bytes);
    // A file that is no text is not read, whole or not.
    const isText = text !== undefined || attachment.content_type.startsWith("text/");
    const truncated =
      isText && (bytes === null || (attachment.content_base64 == null && attachment.preview_truncated));
    const isHtml = attachment.content_type === "text/html";
    yield { place, text: isHtml ? textOfHtml(text ?? "") : (text ?? ""), truncated };
  }
}

/** What is found is kept for this call alone. */
function look(message, settings, deadline) {
  const found = new Map(Object.keys(NAMES).map(rule => [rule, { values: new Set(), places: new Set() }]));
  const texts = [];
  for (const one of textsOf(message)) {
    deadline.check();
    texts.push({ ...one, text: usual(one.text) });
  }
  if (message.mimeTruncated) texts.push({ place: "message", text: "", truncated: true });
  const speaksOfIt =
    settings.my_number_context === false || texts.some(({ text }) => MY_NUMBER_WORD.test(text));
  const words = listOf(settings.words).slice(0, MAX_WORDS);
  for (const { place, text, truncated = false, secretsOnly = false } of texts) {
    deadline.check();
    const values = {
      secret: secretsIn(text),
      ...(secretsOnly ? {} : { ...numbersIn(text, speaksOfIt), word: wordsIn(text, words) }),
      unread: truncated ? [place] : [],
    };
    for (const [rule, list] of Object.entries(values))
      for (const value of list) {
        found.get(rule).values.add(value);
        found.get(rule).places.add(place);
      }
  }
  return found;
}

plugin.on("pre_send", (message, verdict, { settings, deadline, log }) => {
  if (isAllowed(message.envelope?.rcpt_to ?? [], listOf(settings.allow))) return;
  const over = [...look(message, settings, deadline)].flatMap(([rule, { values, places }]) => {
    const action = settings[rule] ?? "off";
    const isOver = action !== "off" && values.size >= (settings[`${rule}_min`] ?? 1);
    return isOver ? [{ rule, action, count: values.size, places: [...places].slice(0, MAX_PLACES) }] : [];
  });
  if (over.length === 0) return;
  const strongest = STRENGTH[Math.max(...over.map(({ action }) => STRENGTH.indexOf(action)))];
  verdict.tag(...over.map(({ rule }) => `dlp:${rule.replace("_", "-")}`));
  verdict.explain(
    over.map(({ rule, count, places }) => `${rule}: ${count} in ${places.join(", ")}`).join("; "),
  );
  log.info("found", {
    action: strongest,
    rules: over.map(({ rule, count }) => `${rule}=${count}`).join(" "),
  });
  if (strongest === "hold") verdict.hold(reasonOf(over, settings.language === "ja"));
  // An SMTP reply is US-ASCII.
  if (strongest === "reject") verdict.reject(reasonOf(over, false), 550);
});

function reasonOf(over, isJapanese) {
  const parts = over.map(({ rule, count }) => {
    const [english, japanese] = NAMES[rule];
    return isJapanese ? `${japanese}${count}件` : `${count} ${english}${count > 1 ? "s" : ""}`;
  });
  return isJapanese ? `${parts.join("、")}を含んでいます` : `it holds ${parts.join(", ")}`;
}

await plugin.run(import.meta);
