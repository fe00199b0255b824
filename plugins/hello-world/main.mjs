// A plugin in one file, no dependency: JSON lines on stdin and stdout. Everything written to stderr is its log.
import { createInterface } from "node:readline";

const ID = "com.example.mairust.hello-world";

/** The whole rule: one request in, one answer out. */
function judge({ settings, headers = [] }) {
  const add = settings.greeting_tag ? [settings.greeting_tag] : [];
  const subject = headers.find(header => header.name.toLowerCase() === "subject")?.value ?? "";
  const words = String(settings.words ?? "")
    .split(",")
    .map(word => word.trim().normalize("NFKC").toLowerCase())
    .filter(word => word !== "");
  const found = words.find(word => subject.normalize("NFKC").toLowerCase().includes(word));
  if (found === undefined) return { tags: { add } };
  return {
    tags: { add: settings.tag ? [...add, settings.tag] : add },
    ...(settings.folder ? { folder: settings.folder } : {}),
    explanation: `the subject holds "${found}"`,
  };
}

function answer(request) {
  if (request.mairust) return { mairust: 1, plugin: ID, version: "1.0.0", api: ["1"] };
  if (request.health) return { status: "ok", details: "nothing to complain about" };
  return { call_id: request.call_id, ...judge(request) };
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(answer(JSON.parse(line)))}\n`);
}
