/** `mairust msg …`: put one message in, find, show and read messages, through the API. */
import { pipeline } from "node:stream/promises";
import type { AddedBody, MessageBody, PlaceBody } from "../../wire/api/messages.ts";
import { readFlagNames, readTime } from "../../wire/message-arguments.ts";
import { connect, segment } from "../client.ts";
import type { CommandContext } from "../command.ts";
import { usageError } from "../exit-codes.ts";
import { printList } from "../list.ts";
import { requiredArg, wholeOption } from "../numbers.ts";
import { type Column, printRecord, printRows } from "../output.ts";
import { printable, sizeText, timeText } from "../text.ts";

const BASE = "/api/v1/messages";

const placeText = (place: PlaceBody | undefined): string =>
  place === undefined ? "" : `${place.account} ${place.mailbox}/${place.uid}`;

/** The first copy, and how many more there are. */
const placesText = (message: MessageBody): string => placeText(message.places[0]) + morePlaces(message);

const morePlaces = ({ places_total: total }: MessageBody): string => (total > 1 ? ` +${total - 1}` : "");

/** As {@link placesText}, where everybody knows whose mail it is. */
const mailboxText = (message: MessageBody): string => {
  const [place] = message.places;
  return place === undefined ? "" : `${place.mailbox}/${place.uid}${morePlaces(message)}`;
};

const WHERE: Column<MessageBody> = { title: "WHERE", value: placesText, min: 20 };
const QUEUE_ID: Column<MessageBody> = { title: "QUEUE ID", value: m => m.queue_id };

const LIST_COLUMNS: readonly Column<MessageBody>[] = [
  { title: "RECEIVED", value: m => m.received_at, shown: m => timeText(m.received_at) },
  { title: "FROM", value: m => m.from, min: 16 },
  { title: "SUBJECT", value: m => m.subject, min: 16 },
  { title: "SIZE", value: m => m.size_bytes, shown: m => sizeText(m.size_bytes), right: true },
  WHERE,
  { title: "TAGS", value: m => m.places[0]?.tags.join(",") ?? "", min: 8 },
  QUEUE_ID,
  { title: "ID", value: m => m.id },
];

/** A table leaves out what says nothing: the account that was asked for, and queue ids of mail that has none (`msg add`). */
function listColumns(q: string): (rows: readonly MessageBody[]) => readonly Column<MessageBody>[] {
  return rows => {
    const ofOneAccount = /(?:^|\s)account:\S/iu.test(q) && new Set(rows.flatMap(accountsOf)).size <= 1;
    const hasQueueId = rows.some(row => row.queue_id !== "");
    return LIST_COLUMNS.filter(column => column !== QUEUE_ID || hasQueueId).map(column =>
      column === WHERE && ofOneAccount ? { ...WHERE, shown: mailboxText } : column,
    );
  };
}

const accountsOf = (message: MessageBody): string[] => message.places.map(place => place.account);

/** `pass (example.org s=mail)` */
const authText = (fact: NonNullable<MessageBody["auth"]>["spf"] | undefined): string =>
  fact === undefined ? "" : `${fact.result}${fact.detail === null ? "" : ` (${fact.detail})`}`;

const SHOW_COLUMNS: readonly Column<MessageBody>[] = [
  { title: "id", value: m => m.id },
  { title: "received", value: m => m.received_at },
  { title: "from", value: m => m.from },
  { title: "subject", value: m => m.subject },
  { title: "Message-ID", value: m => m.message_id_header },
  { title: "queue id", value: m => m.queue_id },
  { title: "sender", value: m => m.mail_from, shown: m => `<${m.mail_from}>` },
  { title: "SPF", value: m => authText(m.auth?.spf) },
  { title: "DKIM", value: m => authText(m.auth?.dkim) },
  { title: "DMARC", value: m => authText(m.auth?.dmarc) },
  { title: "ARC", value: m => authText(m.auth?.arc) },
  { title: "size", value: m => m.size_bytes, shown: m => sizeText(m.size_bytes) },
  { title: "attachments", value: m => m.attachments },
  { title: "SHA-256", value: m => m.blob_digest },
  { title: "copies", value: m => m.places_total },
];

const PLACE_COLUMNS: readonly Column<PlaceBody>[] = [
  { title: "ACCOUNT", value: p => p.account, min: 20 },
  { title: "MAILBOX", value: p => p.mailbox, min: 8 },
  { title: "UID", value: p => p.uid, right: true },
  { title: "FLAGS", value: p => p.flags.join(" ") },
  { title: "TAGS", value: p => p.tags.join(" "), min: 8 },
  { title: "DATE", value: p => p.internal_date, shown: p => timeText(p.internal_date) },
];

const ADDED_COLUMNS: readonly Column<AddedBody>[] = [
  { title: "ACCOUNT", value: a => a.account },
  { title: "MAILBOX", value: a => a.mailbox },
  { title: "UID", value: a => a.uid },
  { title: "SIZE", value: a => a.size_bytes },
  { title: "ID", value: a => a.id },
];

/** Standard input goes to the service as it comes; memory does not grow with the message. */
export async function add({ options, terminal, format, load }: CommandContext): Promise<void> {
  const account = options.text("account");
  if (account === undefined) throw usageError("--account is missing: whose message is it?");
  const [date, flags] = [options.text("date"), options.text("flags")];
  // Before anything is sent: the message may be large.
  const time = date === undefined ? undefined : readTime(date);
  if (typeof time === "string") throw usageError(`--date: ${time}`);
  const names = readFlagNames(flags ?? "");
  if (typeof names === "string") throw usageError(`--flags: ${names}`);
  if (terminal.canAsk) terminal.err("reading the message from the terminal; end it with Ctrl-D\n");
  const mailbox = options.text("mailbox") ?? "INBOX";
  const dryRun = options.has("dryRun");
  const { client } = await connect(load);
  const path = `/api/v1/accounts/${segment(account)}/mailboxes/${segment(mailbox)}/messages`;
  const { body } = await client.post<AddedBody>(path, {
    message: terminal.stdin,
    query: { date, flags, dry_run: dryRun },
  });
  if (dryRun) terminal.err(`would add ${body.size_bytes} octets to ${printable(body.mailbox)}\n`);
  printRecord(terminal, format, body, ADDED_COLUMNS);
}

/** The words of the command line are the query; one with spaces in it is a phrase of its own quoting. */
export async function search(context: CommandContext): Promise<void> {
  const { client } = await connect(context.load);
  const q = context.args.filter(word => word !== undefined).join(" ");
  // Only a table may leave something out: scripts count columns.
  const columns = context.format === "table" ? listColumns(q) : LIST_COLUMNS;
  await printList(context, client, BASE, { q }, columns);
}

export async function show({ args, terminal, format, load }: CommandContext): Promise<void> {
  const { client } = await connect(load);
  const { body } = await client.get<MessageBody>(`${BASE}/${segment(requiredArg(args, 0, "the id"))}`);
  printRecord(terminal, format, body, SHOW_COLUMNS);
  if (format !== "table") return;
  terminal.out("\n");
  printRows(terminal, format, body.places, PLACE_COLUMNS);
}

export async function raw({ args, options, terminal, load }: CommandContext): Promise<void> {
  const [id] = args;
  const account = options.text("account");
  const mailbox = options.text("mailbox");
  const uid =
    options.text("uid") === undefined
      ? undefined
      : wholeOption(options, "uid", 1, { min: 1, max: 4_294_967_295 });
  if (id === undefined && (account === undefined || mailbox === undefined || uid === undefined)) {
    throw usageError("give an id, or --account, --mailbox and --uid");
  }
  const { client } = await connect(load);
  const place = `/api/v1/accounts/${segment(account ?? "")}/mailboxes/${segment(mailbox ?? "")}/messages/${uid}/raw`;
  const { body, headers } =
    id === undefined
      ? await client.stream(place)
      : await client.stream(`${BASE}/${segment(id)}/raw`, { query: { account, mailbox, uid } });
  const others = Number(headers["mairust-other-places"] ?? 0);
  if (others > 0) {
    const where = `${decodeURIComponent(String(headers["mairust-account"]))} ${decodeURIComponent(String(headers["mairust-mailbox"]))}/${headers["mairust-uid"]}`;
    terminal.err(
      `note: this is the copy in ${printable(where)}; there are ${others} more (--account chooses)\n`,
    );
  }
  await pipeline(body, terminal.stdout, { end: false });
}
