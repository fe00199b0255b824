// Asks rspamd about each message, by POST to /checkv2, and turns its action into a verdict. No dependency.
// What fails (no answer, an action nobody knows) is answered with the action "error", which no host knows: the answer is void and
// the hook's on_error decides. Everything written to stderr is the log.
import { request } from "node:http";
import { createInterface } from "node:readline";
import { buildMessage, oneLine } from "./message.mjs";

const ID = "com.example.mairust.rspamd";
const MAX_REPLY_BYTES = 1024 * 1024;
const PING_MS = 1000;
/** Signatures cannot be checked on a message that was made again; what they found would be wrong. */
const SETTINGS = JSON.stringify({ groups_disabled: ["dkim", "dmarc", "arc"] });

/** One request to rspamd on a connection of its own: one kept open may just be closed by the other side. @returns the body of a 200 answer, at most 1 MiB */
function ask(method, url, headers, body, timeoutMs) {
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(timeoutMs);
    const call = request(url, { method, headers, signal, agent: false }, response => {
      const chunks = [];
      let bytes = 0;
      response.on("error", reject);
      response.on("data", chunk => {
        bytes += chunk.length;
        if (bytes > MAX_REPLY_BYTES) response.destroy(new Error("its answer is too long"));
        chunks.push(chunk);
      });
      response.on("end", () => {
        if (response.statusCode === 200) resolve(Buffer.concat(chunks).toString());
        else reject(new Error(`it answered ${response.statusCode}`));
      });
    });
    call.on("error", error => reject(signal.aborted ? new Error(`no answer in ${timeoutMs} ms`) : error));
    call.end(body);
  });
}

/** Others (UTF-8, quoted local parts, `a..b@`) rspamd takes for broken header fields, ten points. */
const PLAIN_ADDRESS =
  /^[\w!#$%&'*+/=?^`{|}~-]+(\.[\w!#$%&'*+/=?^`{|}~-]+)*@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*$/u;

/** The envelope as rspamd's request fields; octets of UTF-8, since Node writes latin1. What is not known is left out. */
function fieldsOf({ envelope = {} }, length) {
  const { mail_from: sender, rcpt_to: recipients = [] } = envelope;
  const isAddress = address => PLAIN_ADDRESS.test(address);
  const pairs = [
    // An empty sender is a bounce's.
    ...(sender === "" || isAddress(sender) ? [["From", sender]] : []),
    ...recipients.filter(isAddress).map(address => ["Rcpt", address]),
    ["IP", envelope.client_ip],
    ["Helo", envelope.helo],
    ["Hostname", envelope.client_name],
    ["User", envelope.auth_user],
    ["Queue-Id", envelope.queue_id],
  ];
  const known = pairs.filter(([, value]) => value !== undefined && value !== null);
  const encoded = known.flatMap(([name, value]) => [name, Buffer.from(oneLine(value)).toString("latin1")]);
  return ["Content-Length", String(length), "Settings", SETTINGS, ...encoded];
}

/** Numbers and names of what rspamd found, within the limits of metadata. */
function metadataOf({ score, required_score, action, symbols = {} }) {
  const found = Object.values(symbols)
    .filter(symbol => symbol.metric_score)
    .sort((a, b) => Math.abs(b.metric_score) - Math.abs(a.metric_score))
    .slice(0, 20)
    .map(({ name, metric_score }) => `${name}(${Number(metric_score).toFixed(2)})`);
  return { score, required: required_score, action, symbols: found.join(" ").slice(0, 2000) };
}

/** rspamd's action → an answer; undefined: nobody knows it. */
function verdictOf(result, settings) {
  const metadata = metadataOf(result);
  const text = oneLine(result.messages?.smtp_message ?? "")
    .replace(/[^ -~]/gu, "?")
    .slice(0, 200)
    .trim();
  const reason = fallback => (text === "" ? fallback : text);
  const spam = {
    tags: { add: ["spam"] },
    headers: { add: [["X-Spam", `Yes, score=${Number(result.score).toFixed(2)}`]] },
    metadata,
  };
  const later = { action: "tempfail", code: 451, reason: reason("try again later"), metadata };
  switch (result.action) {
    case "reject":
    case "discard":
      if (settings.reject === false) return spam;
      return { action: "reject", code: 550, reason: reason("this message looks like spam"), metadata };
    case "soft reject":
      return later;
    case "greylist":
      return settings.greylist === true ? later : { metadata };
    case "add header":
    case "rewrite subject":
    case "quarantine":
      return spam;
    case "no action":
      return { metadata };
    default:
      return undefined;
  }
}

async function judge(call) {
  const { settings = {} } = call;
  const message = buildMessage(call);
  const url = new URL("/checkv2", settings.url);
  const reply = await ask("POST", url, fieldsOf(call, message.length), message, settings.timeout_ms ?? 2000);
  const result = JSON.parse(reply);
  if (typeof result.score !== "number") throw new Error("its answer has no score");
  const verdict = verdictOf(result, settings);
  if (verdict === undefined) throw new Error(`its action "${oneLine(result.action)}" is unknown`);
  return verdict;
}

/** Where the last call went; a health line has no settings. */
let lastUrl;

async function health() {
  if (lastUrl === undefined) return { status: "ok", details: "rspamd was not asked yet" };
  try {
    await ask("GET", new URL("/ping", lastUrl), [], undefined, PING_MS);
    return { status: "ok", details: `rspamd at ${lastUrl} answers` };
  } catch (error) {
    return { status: "error", details: `rspamd at ${lastUrl}: ${error.message}` };
  }
}

async function answer(line) {
  const call = JSON.parse(line);
  if (call.mairust) return { mairust: 1, plugin: ID, version: "1.0.0", api: ["1"] };
  if (call.health) return health();
  lastUrl = call.settings?.url;
  try {
    return { call_id: call.call_id, ...(await judge(call)) };
  } catch (error) {
    process.stderr.write(`cannot ask rspamd: ${error.message}\n`);
    return { call_id: call.call_id, action: "error", explanation: `rspamd: ${error.message}` };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await answer(line))}\n`);
}
