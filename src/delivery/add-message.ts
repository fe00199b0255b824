/** `msg add`: one message into one mailbox, exactly as it is; no field added, no hooks, no redelivery check. Durable when it resolves. */
import { MairustError } from "../core/errors.ts";
import type { MessageId } from "../core/ids.ts";
import type { MimeLimits } from "../core/mime/limits.ts";
import type { BlobStore } from "../core/ports/blobs.ts";
import type { Log } from "../core/ports/log.ts";
import type { AddedMessage, AddRequest, MessageAdder } from "../core/ports/message-adder.ts";
import type { MessageStore } from "../core/ports/store.ts";
import { MessageReceiver, messageColumns, type ReceivedMessage } from "./received-message.ts";

export interface AdderOptions {
  readonly blobs: BlobStore;
  readonly store: MessageStore;
  readonly newMessageId: () => MessageId;
  readonly now: () => Date;
  readonly maxMessageBytes: () => number;
  readonly mimeLimits: () => MimeLimits;
  readonly log: Log;
}

export function createMessageAdder(options: AdderOptions): MessageAdder {
  return {
    async add(request) {
      const receiver = new MessageReceiver({
        blobs: options.blobs,
        id: options.newMessageId(),
        receivedAt: options.now(),
        limits: options.mimeLimits(),
        log: options.log,
      });
      try {
        await takeBytes(receiver, request, options.maxMessageBytes());
      } catch (error) {
        await receiver.abort();
        throw error;
      }
      const message = await receiver.finish();
      try {
        return await store(options, request, message);
      } finally {
        await message.staged.discard();
      }
    },
  };
}

async function takeBytes(receiver: MessageReceiver, request: AddRequest, maxBytes: number): Promise<void> {
  let sizeBytes = 0;
  for await (const chunk of request.content) {
    sizeBytes += chunk.length;
    if (sizeBytes > maxBytes) {
      throw new MairustError("message_too_large", `Cannot add a message of more than ${maxBytes} bytes`, {
        publicText: `message exceeds ${maxBytes} bytes`,
      });
    }
    await receiver.write(chunk);
  }
}

async function store(
  options: AdderOptions,
  request: AddRequest,
  message: ReceivedMessage,
): Promise<AddedMessage> {
  const { account, mailbox, flags, internalDate } = request;
  const blob = await message.staged.persist();
  const [result] = await options.store.deliver({
    ...messageColumns(message, blob),
    queueId: "",
    mailFrom: "",
    events: [
      {
        at: message.receivedAt,
        kind: "added",
        recipient: account.address,
        data: { size_bytes: blob.sizeBytes, mailbox },
      },
    ],
    targets: [
      {
        accountId: account.id,
        recipient: account.address,
        mailbox,
        ifMissing: "fail",
        flags,
        internalDate,
        prefix: new Uint8Array(0),
        metadata: {},
        exactlyOnce: false,
        events: [],
      },
    ],
  });
  switch (result?.kind) {
    case "stored":
      return { messageId: message.id, mailbox: result.mailbox, uid: result.uid, sizeBytes: blob.sizeBytes };
    case "over_quota":
      throw new MairustError("over_quota", `Cannot add to "${account.address}": the quota is used up`, {
        publicText: "over quota",
      });
    case "gone":
      throw new MairustError(
        "not_found",
        `Cannot add to mailbox "${mailbox}" of "${account.address}": there is none`,
        {
          publicText: "no such mailbox",
        },
      );
    default:
      throw new MairustError(
        "internal",
        `Cannot add to "${account.address}": the store answered "${result?.kind}"`,
      );
  }
}
