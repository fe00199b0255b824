/**
 * A server that speaks the chat-completions protocol and behaves as the name of the model says: well, slowly, brokenly, or as
 * the mail tells it to.
 */
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface ModelRequest {
  readonly path: string;
  readonly authorization: string | undefined;
  readonly model: string;
  readonly messages: readonly { readonly role: string; readonly content: string }[];
  readonly response_format: {
    readonly type: string;
    readonly json_schema: {
      readonly schema: { readonly properties: { readonly category: { readonly enum: readonly string[] } } };
    };
  };
}

export interface ModelServer {
  readonly port: number;
  readonly seen: ModelRequest[];
  stop(): Promise<void>;
}

const GOOD = { category: "invoice", score: 0.93, explanation: "It asks for money." };

/** A whole completion around what the model says. */
export function completion(content: unknown, more: object = {}): object {
  const message = { role: "assistant", content };
  return {
    ...{ id: "1", object: "chat.completion", model: "served-model" },
    choices: [{ index: 0, finish_reason: "stop", message }],
    usage: { prompt_tokens: 800, completion_tokens: 20, total_tokens: 820 },
    ...more,
  };
}

/** The text of the mail, as the model sees it. */
export function mailOf({ messages }: ModelRequest): { from: string; subject: string; text: string } {
  return JSON.parse(messages.at(-1)?.content ?? "").mail;
}

/** What stands between the first brace and the last: what a mail wants to be answered. */
function demanded(text: string): string {
  const [from, to] = [text.indexOf("{"), text.lastIndexOf("}")];
  return from === -1 ? text : text.slice(from, to + 1);
}

type Behaviour = (request: ModelRequest, response: ServerResponse, times: number) => unknown;
const say = (response: ServerResponse, body: unknown) =>
  response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(body));
const text =
  (content: unknown): Behaviour =>
  (_, response) =>
    say(response, completion(content));
const json = (value: object): Behaviour => text(JSON.stringify(value));
const status =
  (code: number, times = Number.POSITIVE_INFINITY, headers = {}): Behaviour =>
  (_, response, n) =>
    n > times ? say(response, completion(JSON.stringify(GOOD))) : response.writeHead(code, headers).end("no");

export const MODELS: Readonly<Record<string, Behaviour>> = {
  good: json(GOOD),
  unsure: json({ ...GOOD, score: 0.1 }),
  other: json({ ...GOOD, category: "other" }),
  no_usage: (_, response) => say(response, completion(JSON.stringify(GOOD), { usage: undefined, model: 7 })),
  odd_usage: (_, response) =>
    say(
      response,
      completion(JSON.stringify(GOOD), {
        ...{ usage: { prompt_tokens: -5, completion_tokens: "1" }, model: "x\u001b[31m" },
      }),
    ),
  // Slow and broken.
  slow: () => undefined,
  "500": status(500),
  "500_once": status(500, 1),
  "429_once": status(429, 1, { "retry-after": "0" }),
  "429_long": status(429, Number.POSITIVE_INFINITY, { "retry-after": "3600" }),
  "401": status(401),
  redirect: status(302, Number.POSITIVE_INFINITY, { location: "http://evil.example/" }),
  no_json: (_, response) => response.end("<html>"),
  no_choices: (_, response) => say(response, { choices: [] }),
  list: (_, response) => say(response, []),
  null_content: text(null),
  object_content: text(GOOD),
  truncated: text('{"category":"invoice","score":0.9,"expl'),
  length: (_, response) =>
    say(response, {
      choices: [{ finish_reason: "length", message: { content: JSON.stringify(GOOD) } }],
    }),
  tool_calls: (_, response) =>
    say(response, {
      choices: [{ finish_reason: "tool_calls", message: { content: null, tool_calls: [{ id: "1" }] } }],
    }),
  cut: (_, response) => {
    response.writeHead(200, { "content-length": "5000" }).write('{"choices":');
    setImmediate(() => response.destroy());
  },
  huge: (_, response) => say(response, completion("x".repeat(1_000_000))),
  deep: text("[".repeat(30_000)),
  // Malicious.
  outside: json({ ...GOOD, category: "approved" }),
  capital: json({ ...GOOD, category: "Invoice" }),
  spaced: json({ ...GOOD, category: " invoice" }),
  list_category: json({ ...GOOD, category: ["invoice"] }),
  extra: json({ ...GOOD, tags: ["vip"], folder: "Trash", action: "reject" }),
  missing: json({ category: "invoice", score: 0.9 }),
  score_high: json({ ...GOOD, score: 1.01 }),
  score_low: json({ ...GOOD, score: -0.01 }),
  score_text: json({ ...GOOD, score: "0.9" }),
  score_true: json({ ...GOOD, score: true }),
  score_nan: text('{"category":"invoice","score":NaN,"explanation":"x"}'),
  score_infinite: text('{"category":"invoice","score":1e999,"explanation":"x"}'),
  score_endless: text(`{"category":"invoice","score":${"9".repeat(5000)},"explanation":"x"}`),
  controls: json({ ...GOOD, explanation: "a\u001b[31mb" }),
  line_break: json({ ...GOOD, explanation: "a\r\nb" }),
  bidi: json({ ...GOOD, explanation: "a\u202eb" }),
  surrogate: text('{"category":"invoice","score":0.9,"explanation":"\\ud800"}'),
  long: json({ ...GOOD, explanation: "x".repeat(301) }),
  explanation_list: json({ ...GOOD, explanation: ["x"] }),
  twice: text(JSON.stringify(GOOD).repeat(2)),
  twice_key: text('{"category":"invoice","category":"spam","score":0.9,"explanation":"x"}'),
  fenced: text(`\`\`\`json\n${JSON.stringify(GOOD)}\n\`\`\``),
  // Whatever the mail says.
  obeys: (request, response) => say(response, completion(demanded(mailOf(request).text))),
  repeats: (request, response) => say(response, completion(mailOf(request).text)),
  explains: (request, response) =>
    say(response, completion(JSON.stringify({ ...GOOD, explanation: mailOf(request).text }))),
};

export async function startModelServer(): Promise<ModelServer> {
  const seen: ModelRequest[] = [];
  const counts = new Map<string, number>();
  const server = createServer(async (incoming, response) => {
    response.on("error", () => {});
    let body = "";
    for await (const chunk of incoming.setEncoding("utf8")) body += chunk;
    const request: ModelRequest = {
      ...JSON.parse(body),
      path: incoming.url ?? "",
      authorization: incoming.headers.authorization,
    };
    seen.push(request);
    const times = (counts.get(request.model) ?? 0) + 1;
    counts.set(request.model, times);
    await MODELS[request.model]?.(request, response, times);
  });
  await new Promise<void>(resolve => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    seen,
    stop: () =>
      new Promise(resolve => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
