/** What the loss proof asks of the service, over its API. The service is ended again and again meanwhile: "away" is an answer here. */
import type { NewAccountBody } from "../wire/api/accounts.ts";
import type { PageBody } from "../wire/api/common.ts";
import type { KillSwitchBody } from "../wire/api/loss-proof.ts";
import type { MessageBody, TimelineBody } from "../wire/api/messages.ts";
import type { FoundCopy, LossCalls } from "../wire/loss-calls.ts";
import { type Client, segment } from "./client.ts";
import { CommandError, EXIT } from "./exit-codes.ts";

const SWITCH = "/api/v1/admin/loss-proof";
/** More copies of one canary than this are counted as this many. */
const MAX_COPIES = 100;

export async function killSwitch(client: Client): Promise<KillSwitchBody> {
  return (await client.get<KillSwitchBody>(SWITCH)).body;
}

export async function makeAccount(client: Client, address: string): Promise<void> {
  await client.post("/api/v1/accounts", { body: { address } satisfies NewAccountBody });
}

export async function removeAccount(client: Client, address: string): Promise<void> {
  await client.delete(`/api/v1/accounts/${segment(address)}`);
}

export function lossCalls(client: Client): LossCalls {
  return {
    state: () => stateOf(client),
    async arm(step, withinS) {
      await client.post(`${SWITCH}/kill`, { body: { step, within_s: withinS } });
    },
    async disarm() {
      // A service that is away is not armed when it comes back.
      await client.delete(`${SWITCH}/kill`).catch(() => undefined);
    },
    find: (account, id) => copiesOf(client, account, id),
    async isHeld(id) {
      const answer = await client.get<TimelineBody>(`/api/v1/messages/${segment(id)}/timeline`, {
        accept: [404],
      });
      return answer.status === 200 && answer.body.events.some(event => event.kind === "held");
    },
  };
}

/** @throws {CommandError} 77: it is there, but not for this user */
async function stateOf(client: Client): ReturnType<LossCalls["state"]> {
  try {
    const ready = await client.get("/readyz", { accept: [503] });
    if (ready.status !== 200) return undefined;
    const { pid, started_at: startedAt } = await killSwitch(client);
    return { pid, startedAt };
  } catch (error) {
    if (error instanceof CommandError && error.exitCode === EXIT.notAllowed) throw error;
    return undefined;
  }
}

async function copiesOf(client: Client, account: string, id: string): Promise<readonly FoundCopy[]> {
  const query = { q: `account:"${account}" msgid:"${id}"`, limit: MAX_COPIES };
  const { items } = (await client.get<PageBody<MessageBody>>("/api/v1/messages", { query })).body;
  const copies: FoundCopy[] = [];
  for (const message of items)
    for (const { mailbox, uid } of message.places) {
      const path = `/api/v1/accounts/${segment(account)}/mailboxes/${segment(mailbox)}/messages/${uid}/raw`;
      const chunks: Uint8Array[] = [];
      for await (const chunk of (await client.stream(path)).body) chunks.push(chunk as Uint8Array);
      copies.push({ bytes: Buffer.concat(chunks), storedAt: new Date(message.received_at) });
    }
  return copies;
}
