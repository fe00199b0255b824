/**
 * `mairust selftest`: one message to an account, through our own LMTP listener or through Postfix, and when it got where: its timeline
 * here, and with `--imap` the folder where a mail client finds it. It stays in the mailbox. Fails when a server refuses it, or when it
 * does not arrive in time. Until a domain is beyond stage `hooks` the message ends in Dovecot, so only `--imap` sees all of its way.
 */
import { randomUUID } from "node:crypto";
import type { LoadedConfig } from "../../platform/config/load.ts";
import { sleep } from "../../platform/deadline.ts";
import type { AccountBody } from "../../wire/api/accounts.ts";
import type { PageBody } from "../../wire/api/common.ts";
import type { TimelineBody } from "../../wire/api/messages.ts";
import type { ImapLogin } from "../../wire/transfer-calls.ts";
import { type Client, connect, segment } from "../client.ts";
import type { CommandContext, Options } from "../command.ts";
import { CommandError, EXIT, usageError } from "../exit-codes.ts";
import { findByImap, mailLogin } from "../imap-find.ts";
import { sendByLmtp, sendBySmtp } from "../lmtp-client.ts";
import { wholeOption } from "../numbers.ts";
import { printable } from "../text.ts";
import { printTimeline } from "../timeline.ts";

/** Time between two looks at the timeline. */
const POLL_MS = 100;
/** Events after which a message lies where it belongs. */
const ARRIVED: readonly string[] = ["stored", "relayed"];

export async function selftest({ terminal, format, options, load }: CommandContext): Promise<number> {
  const timeoutS = wholeOption(options, "timeout", 30, { min: 1, max: 3600 });
  const through = throughOf(options);
  const { client, loaded } = await connect(load);
  const to = options.text("to") ?? (await firstAccount(client));
  const login = loginOf(options, to);
  const messageId = `<selftest.${randomUUID()}@${loaded.config.hostname}>`;
  const startedAt = performance.now();
  const endsAt = startedAt + timeoutS * 1000;
  const ms = () => Math.round(performance.now() - startedAt);
  const sent = await send(loaded, through, { to, messageId, timeoutMs: timeoutS * 1000 });
  terminal.err(`sent to ${printable(to)} by ${sent.server} in ${ms()} ms: ${printable(sent.reply)}\n`);
  // Looked for in both places at a time: each delay is its own.
  const search = { isOver: login === undefined ? undefined : false };
  const found = async (there: ImapLogin) => {
    const folder = await findByImap(there, messageId, endsAt).finally(() => {
      search.isOver = true;
    });
    terminal.err(`found in ${printable(folder)} at ${there.host}:${there.port} after ${ms()} ms\n`);
  };
  const followed = async () => {
    const timeline = await arrived(client, messageId, endsAt, search);
    const last = timeline?.events.find(event => ARRIVED.includes(event.kind));
    if (last !== undefined) terminal.err(`${last.kind} after ${ms()} ms\n`);
    return timeline;
  };
  const [timeline] = await Promise.all([followed(), login === undefined ? undefined : found(login)]);
  if (timeline !== undefined) printTimeline(terminal, format, timeline);
  else terminal.err("the sidecar did not see it: neither its milter nor its LMTP listener was asked\n");
  return EXIT.ok;
}

function throughOf(options: Options): "lmtp" | "postfix" {
  const asked = options.text("through") ?? "lmtp";
  if (asked === "lmtp" || asked === "postfix") return asked;
  throw usageError(`--through takes lmtp or postfix, not "${printable(asked)}"`);
}

function loginOf(options: Options, to: string): ImapLogin | undefined {
  const url = options.text("imap");
  if (url === undefined) return undefined;
  const passwordFile = options.text("passwordFile");
  const masterUser = options.text("masterUser");
  return mailLogin(to, {
    url,
    insecure: options.has("insecure"),
    ...(passwordFile === undefined ? {} : { passwordFile }),
    ...(masterUser === undefined ? {} : { masterUser }),
  });
}

async function send(
  loaded: LoadedConfig,
  through: "lmtp" | "postfix",
  {
    to,
    messageId,
    timeoutMs,
  }: { readonly to: string; readonly messageId: string; readonly timeoutMs: number },
): Promise<{ readonly server: string; readonly reply: string }> {
  const message = { from: "", to, content: testMessage(loaded, messageId, to), timeoutMs };
  if (through === "postfix") {
    const server = loaded.config.outbound.smtp;
    return { server, reply: await sendBySmtp(server, message) };
  }
  const [server] = loaded.config.lmtp.listen;
  if (server === undefined) throw new CommandError(EXIT.configuration, "lmtp.listen is empty");
  return { server, reply: await sendByLmtp(server, message) };
}

async function firstAccount(client: Client): Promise<string> {
  const { body } = await client.get<PageBody<AccountBody>>("/api/v1/accounts", { query: { limit: 1 } });
  const [account] = body.items;
  if (account !== undefined) return account.address;
  throw new CommandError(EXIT.noUser, "there is no account yet: make one, or name an address with --to");
}

function testMessage({ config }: LoadedConfig, messageId: string, to: string): Buffer {
  const lines = [
    `From: mairust selftest <postmaster@${config.hostname}>`,
    `To: <${to}>`,
    "Subject: mairust selftest",
    `Date: ${new Date().toUTCString().replace("GMT", "+0000")}`,
    `Message-ID: ${messageId}`,
    "Auto-Submitted: auto-generated",
    "MIME-Version: 1.0",
    "Content-Type: text/plain; charset=us-ascii",
    "",
    "This message was sent by mairust selftest. It may be deleted.",
    "",
  ];
  return Buffer.from(lines.join("\r\n"));
}

/**
 * The timeline, once the message has arrived, or once it was found elsewhere.
 * @param search  `isOver` undefined: nobody looks elsewhere
 * @throws {CommandError} 75 when it has not in time
 */
async function arrived(
  client: Client,
  messageId: string,
  endsAt: number,
  search: { readonly isOver: boolean | undefined },
): Promise<TimelineBody | undefined> {
  for (;;) {
    const isLast = search.isOver === true || performance.now() + POLL_MS > endsAt;
    const answer = await client.get<TimelineBody>(`/api/v1/messages/${segment(messageId)}/timeline`, {
      accept: [404],
    });
    const timeline = answer.status === 200 ? answer.body : undefined;
    if (timeline?.events.some(event => ARRIVED.includes(event.kind))) return timeline;
    if (isLast) {
      if (search.isOver !== undefined) return timeline;
      throw new CommandError(
        EXIT.tryLater,
        `the message ${messageId} is not stored or relayed in time; in stage observe only --imap sees it arrive`,
      );
    }
    await sleep(POLL_MS);
  }
}
