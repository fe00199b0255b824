/** Branded identifiers: a string or number of one kind cannot be passed for another. */

declare const brand: unique symbol;
type Branded<T, B extends string> = T & { readonly [brand]: B };

/** UUIDv7 of a stored message (the header field is `messageIdHeader`). */
export type MessageId = Branded<string, "MessageId">;
/** Lower-case hex SHA-256 of a blob's logical bytes. */
export type BlobDigest = Branded<string, "BlobDigest">;
/** Row id of an account. */
export type AccountId = Branded<number, "AccountId">;
/** Row id of a mailbox. */
export type MailboxId = Branded<number, "MailboxId">;
/** UUIDv7 of one plugin call. */
export type CallId = Branded<string, "CallId">;

export const messageId = (value: string): MessageId => value as MessageId;
export const blobDigest = (value: string): BlobDigest => value as BlobDigest;
export const accountId = (value: number): AccountId => value as AccountId;
export const mailboxId = (value: number): MailboxId => value as MailboxId;
export const callId = (value: string): CallId => value as CallId;
