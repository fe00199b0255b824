/** `mairust send …`: mail that goes out, through the API. */
import { open } from "node:fs/promises";
import { basename } from "node:path";
import type { Readable } from "node:stream";
import { deadlineAfter, sleep } from "../../platform/deadline.ts";
import type { OutgoingBody, SendBody, SentBody } from "../../wire/api/send.ts";
import { type Client, connect, segment } from "../client.ts";
import type { CommandContext } from "../command.ts";
import { CommandError, EXIT, type ExitCode, usageError } from "../exit-codes.ts";
import { printList } from "../list.ts";
import { requiredArg, wholeOption } from "../numbers.ts";
import { type Column, printRecord, printRows } from "../output.ts";
import { printable, sizeText, timeText } from "../text.ts";

const BASE = "/api/v1/send";
/** Octets of all files of one mail: base64 of them fits into a request. */
const MAX_FILES_BYTES = 23_000_000;
const WAIT_STEP_MS = 200;
const MAX_WAIT_S = 86_400;

type Recipient = OutgoingBody["recipients"][number];

const toText = ({ recipients }: OutgoingBody): string =>
  `${recipients[0]?.recipient ?? ""}${recipients.length > 1 ? ` +${recipients.length - 1}` : ""}`;

const stateText = ({ state, canceled_by: by, ended_at: at }: OutgoingBody): string =>
  by === null || at === null ? state : `${state} by ${by} at ${timeText(at)}`;

const COLUMNS: readonly Column<OutgoingBody>[] = [
  { title: "QUEUED", value: m => m.created_at, shown: m => timeText(m.created_at) },
  { title: "PURPOSE", value: m => m.purpose },
  { title: "STATE", value: m => m.state },
  { title: "FROM", value: m => m.mail_from, shown: m => `<${m.mail_from}>`, min: 16 },
  { title: "TO", value: toText, min: 16 },
  { title: "REPLY", value: m => m.recipients[0]?.reply ?? "", min: 16 },
  { title: "ID", value: m => m.id },
];

const SHOW_COLUMNS: readonly Column<OutgoingBody>[] = [
  { title: "id", value: m => m.id },
  { title: "purpose", value: m => m.purpose },
  { title: "state", value: m => m.state, shown: stateText },
  { title: "canceled by", value: m => m.canceled_by },
  { title: "sender", value: m => m.mail_from, shown: m => `<${m.mail_from}>` },
  { title: "copy in Sent", value: m => m.sent_copy },
  { title: "message", value: m => m.message_id },
  { title: "job", value: m => m.job },
  { title: "queued", value: m => m.created_at, shown: m => timeText(m.created_at) },
  { title: "ended", value: m => m.ended_at, shown: m => (m.ended_at === null ? "" : timeText(m.ended_at)) },
];

const RECIPIENT_COLUMNS: readonly Column<Recipient>[] = [
  { title: "RECIPIENT", value: r => r.recipient, min: 20 },
  { title: "STATE", value: r => r.state },
  { title: "REPLY", value: r => r.reply, min: 20 },
];

const SENT_COLUMNS: readonly Column<SentBody>[] = [
  { title: "ID", value: m => m.id },
  { title: "STATE", value: m => m.state },
  { title: "HOLD", value: m => m.hold },
  { title: "SIZE", value: m => m.size_bytes, shown: m => sizeText(m.size_bytes) },
  { title: "COPY IN SENT", value: m => m.sent_copy },
  { title: "MESSAGE", value: m => m.message_id },
];

export async function list(context: CommandContext): Promise<void> {
  const { options, load } = context;
  const { client } = await connect(load);
  const query = { state: options.text("state"), purpose: options.text("purpose") };
  await printList(context, client, BASE, query, COLUMNS);
}

export async function show(context: CommandContext): Promise<void> {
  const { client } = await connect(context.load);
  const path = `${BASE}/${segment(requiredArg(context.args, 0, "the id"))}`;
  print(context, (await client.get<OutgoingBody>(path)).body);
}

function print({ terminal, format }: CommandContext, mail: OutgoingBody): void {
  printRecord(terminal, format, mail, SHOW_COLUMNS);
  if (format !== "table") return;
  terminal.out("\n");
  printRows(terminal, format, mail.recipients, RECIPIENT_COLUMNS);
}

export async function send(context: CommandContext): Promise<ExitCode> {
  const { options, terminal, format, load } = context;
  const seconds = wholeOption(options, "timeout", 60, { min: 1, max: MAX_WAIT_S });
  const raw = options.text("raw");
  const request = raw === undefined ? { body: await composed(context) } : await wholeMessage(context, raw);
  const key = options.text("idempotencyKey");
  const { client } = await connect(load);
  const { body: sent } = await client.post<SentBody>(BASE, {
    ...request,
    ...(key === undefined ? {} : { headers: { "idempotency-key": key } }),
    query: { ...("query" in request ? request.query : {}), dry_run: options.has("dryRun") },
  });
  if (sent.hold !== null)
    terminal.err(`a hook keeps it for approval: "mairust held show ${printable(sent.hold)}"\n`);
  if (sent.id === null || !options.has("wait")) {
    printRecord(terminal, format, sent, SENT_COLUMNS);
    return EXIT.ok;
  }
  const mail = await ended(client, sent.id, seconds);
  print(context, mail);
  return mail.state === "queued" ? EXIT.tryLater : mail.state === "done" ? EXIT.ok : EXIT.failed;
}

/** @returns it when it has ended, or as it is after that time */
async function ended(client: Client, id: string, seconds: number): Promise<OutgoingBody> {
  const deadline = deadlineAfter(seconds * 1000);
  try {
    for (;;) {
      const { body } = await client.get<OutgoingBody>(`${BASE}/${segment(id)}`);
      if (body.state !== "queued" || deadline.remainingMs() === 0) return body;
      await sleep(WAIT_STEP_MS);
    }
  } finally {
    deadline.dispose();
  }
}

async function wholeMessage({ options, terminal }: CommandContext, file: string) {
  const others = ["cc", "bcc", "replyTo", "attach", "references"].some(
    name => options.texts(name).length > 0,
  );
  if (others || ["subject", "text", "html", "inReplyTo"].some(name => options.text(name) !== undefined))
    throw usageError("--raw is a whole message: only --from and --to go with it");
  const to = options.texts("to");
  const message: Readable = file === "-" ? terminal.stdin : (await openFile(file)).createReadStream();
  return {
    message,
    query: { from: options.text("from"), ...(to.length === 0 ? {} : { to: to.join(",") }) },
  };
}

async function composed({ options, terminal }: CommandContext): Promise<SendBody> {
  const from = options.text("from");
  if (from === undefined) throw usageError("--from is missing: whose mail is it?");
  const [to, cc, bcc] = [options.texts("to"), options.texts("cc"), options.texts("bcc")];
  if (to.length + cc.length + bcc.length === 0) throw usageError("--to is missing: whom is it for?");
  const files = new Files();
  const html = options.text("html");
  const htmlText = html === undefined ? undefined : (await files.read(html)).toString("utf8");
  const attachments = [];
  for (const file of options.texts("attach")) {
    const content = (await files.read(file)).toString("base64");
    attachments.push({ filename: basename(file), content });
  }
  const text = options.text("text");
  const ask = text === undefined && htmlText === undefined;
  if (ask && terminal.canAsk) terminal.err("reading the text from the terminal; end it with Ctrl-D\n");
  const given = ask ? (await files.readAll(terminal.stdin, "standard input")).toString("utf8") : text;
  const inReplyTo = options.text("inReplyTo");
  return {
    ...{ from, to: [...to], cc: [...cc], bcc: [...bcc], reply_to: [...options.texts("replyTo")] },
    subject: options.text("subject") ?? "",
    ...(given === undefined ? {} : { text: given }),
    ...(htmlText === undefined ? {} : { html: htmlText }),
    attachments,
    ...(inReplyTo === undefined ? {} : { in_reply_to: inReplyTo }),
    references: [...options.texts("references")],
  };
}

/** Files of one mail, together no more than a request takes. */
class Files {
  #left = MAX_FILES_BYTES;

  async read(file: string): Promise<Buffer> {
    return this.readAll((await openFile(file)).createReadStream(), `"${printable(file)}"`);
  }

  async readAll(stream: AsyncIterable<Uint8Array>, name: string): Promise<Buffer> {
    const chunks: Uint8Array[] = [];
    for await (const chunk of stream) {
      chunks.push(chunk);
      this.#left -= chunk.length;
      if (this.#left < 0)
        throw new CommandError(
          EXIT.badData,
          `with ${name} the mail has more than ${MAX_FILES_BYTES} bytes of files; larger mail goes by --raw`,
        );
    }
    return Buffer.concat(chunks);
  }
}

async function openFile(path: string) {
  try {
    return await open(path, "r");
  } catch (error) {
    const why = error instanceof Error && "code" in error ? String(error.code) : String(error);
    throw new CommandError(EXIT.noInput, `cannot read "${printable(path)}" (${why})`, error);
  }
}
