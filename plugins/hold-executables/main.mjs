// Holds mail with a program attached. It is granted the names of attachments and nothing else: no header, no text, no content.
import { createInterface } from "node:readline";

const ID = "com.example.mairust.hold-executables";

/** The last ending counts, whatever stands before it: `invoice.pdf.exe`, `photo.jpg .scr`. */
function endingOf(filename) {
  return filename
    .normalize("NFKC")
    .toLowerCase()
    .replace(/[\s.]+$/u, "")
    .split(".")
    .at(-1)
    .trim();
}

function judge({ settings, attachments = [] }) {
  const endings = new Set(
    String(settings.endings ?? "")
      .split(",")
      .map(ending => ending.trim().toLowerCase()),
  );
  const found = attachments.find(
    ({ filename }) => filename?.includes(".") && endings.has(endingOf(filename)),
  );
  if (found === undefined) return {};
  return {
    action: "hold",
    reason: "a program is attached",
    explanation: `the attachment ends in .${endingOf(found.filename)}`,
  };
}

function answer(request) {
  if (request.mairust) return { mairust: 1, plugin: ID, version: "1.0.0", api: ["1"] };
  if (request.health) return { status: "ok" };
  return { call_id: request.call_id, ...judge(request) };
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(answer(JSON.parse(line)))}\n`);
}
