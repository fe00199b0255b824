/** imapflow, in this process: lists, opens each mailbox read-only, and fetches what lies above the highest UID it has. */
import { ImapFlow } from "imapflow";
import { type Kept, type KeptMessage, type MailClient, type SyncJob, unchanged } from "./client.ts";

interface Copied {
  readonly uidValidity: bigint;
  readonly messages: KeptMessage[];
}

/** By folder of the job: this client keeps its copy in memory. */
const copies = new Map<string, Map<string, Copied>>();

export const imapflow: MailClient = {
  name: "imapflow",
  programs: [],
  login: "master",
  flags: "all",
  dates: true,
  emptyMailboxes: true,
  writes: unchanged,
  async sync(job) {
    const client = clientOf(job);
    await client.connect();
    try {
      for (const { path, flags } of await client.list()) {
        if (!flags.has("\\Noselect")) await copyMailbox(client, path, copyOf(job));
      }
    } finally {
      await client.logout().catch(() => client.close());
    }
  },
  async read(job) {
    return new Map([...copyOf(job)].map(([name, { messages }]) => [name, messages])) as Kept;
  },
};

function copyOf({ dir }: SyncJob): Map<string, Copied> {
  const copy = copies.get(dir) ?? new Map<string, Copied>();
  copies.set(dir, copy);
  return copy;
}

async function copyMailbox(client: ImapFlow, path: string, copy: Map<string, Copied>): Promise<void> {
  const { uidValidity, exists } = await client.mailboxOpen(path, { readOnly: true });
  const had = copy.get(path) ?? { uidValidity, messages: [] };
  if (had.uidValidity !== uidValidity) throw new Error(`UIDVALIDITY of ${path} changed`);
  copy.set(path, had);
  if (exists === 0) return;
  const highest = Math.max(0, ...had.messages.slice(-1).map(({ uid }) => uid ?? 0));
  // n:* names the last message even when its UID is lower.
  const found = (await client.search({ uid: `${highest + 1}:*` }, { uid: true })) || [];
  const uids = found.filter(uid => uid > highest);
  if (uids.length === 0) return;
  const query = { uid: true, flags: true, internalDate: true, size: true, source: true };
  for await (const one of client.fetch(`${uids[0]}:${uids.at(-1)}`, query, { uid: true })) {
    if (one.source === undefined || one.size !== one.source.length) {
      throw new Error(`${path} ${one.uid}: RFC822.SIZE ${one.size}, but ${one.source?.length} octets`);
    }
    const date = one.internalDate === undefined ? {} : { date: new Date(one.internalDate) };
    had.messages.push({ uid: one.uid, bytes: one.source, flags: [...(one.flags ?? [])], ...date });
  }
}

function clientOf({ access }: SyncJob): ImapFlow {
  const { host, port, user, password, authorize } = access;
  const master = authorize === undefined ? {} : { authzid: authorize, loginMethod: "AUTH=PLAIN" };
  return new ImapFlow({
    host,
    port,
    secure: false,
    doSTARTTLS: false,
    logger: false,
    auth: { user, pass: password, ...master },
  });
}
