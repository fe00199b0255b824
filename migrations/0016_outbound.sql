-- Mail that the sidecar sends itself: handed to the MTA by a job for each mail, with a result for each recipient.
--
-- What must never be wrong is held here:
--   * while a mail is queued its message stays (open_message_id refers to it), and with the message its blob;
--   * queued twice under one key it is there once;
--   * a request with an Idempotency-Key is worked on by one process at a time.

create table outbox (
  id               uuid primary key,
  purpose          text not null check (purpose in ('send', 'notice', 'dsn', 'alert')),
  state            text not null default 'queued' check (state in ('queued', 'done', 'failed', 'canceled')),
  once_key         text unique,
  -- of the timeline; a messages row while it is queued and has no content of its own
  message_id       uuid,
  open_message_id  uuid generated always as (case when state = 'queued' and content is null then message_id end) stored
                   references messages (message_id),
  mail_from        text not null,
  dsn              jsonb not null default '{}',
  -- header fields on top of the message
  top              text not null default '',
  -- a short mail of our own; null: the message's blob
  content          bytea,
  -- stored, over_quota, gone (the account), not_applicable (its mail is not kept here); null: nobody wanted one
  sent_copy        text check (sent_copy in ('stored', 'over_quota', 'gone', 'not_applicable')),
  job_id           bigint not null,
  -- since when a submission runs whose outcome is not recorded
  attempt_at       timestamptz,
  created_at       timestamptz not null default now(),
  ended_at         timestamptz,
  -- who had its job canceled while some recipients still waited
  canceled_by      text,
  constraint outbox_content check (state <> 'queued' or content is not null or message_id is not null),
  constraint outbox_ended check ((state = 'queued') = (ended_at is null)),
  constraint outbox_canceled check ((state = 'canceled') = (canceled_by is not null))
);
create index outbox_open_message on outbox (open_message_id) where open_message_id is not null;
create index outbox_message on outbox (message_id) where message_id is not null;
create index outbox_queued on outbox (purpose) where state = 'queued';
create index outbox_ended_at on outbox (ended_at) where ended_at is not null;

create table outbox_recipients (
  outbox_id  uuid not null references outbox (id) on delete cascade,
  ord        integer not null,
  address    text not null,
  orcpt      text,
  -- RFC 3461 NOTIFY
  notify     jsonb,
  state      text not null default 'waiting' check (state in ('waiting', 'taken', 'refused', 'canceled')),
  -- the MTA's, or why it waits
  reply      text not null default '',
  at         timestamptz,
  primary key (outbox_id, ord)
);

-- Who asked for a job's end: what the job leaves undone says so.
alter table jobs add column cancel_by text;

-- Of held mail from the send path: the message that its sender's copy in Sent is, once it was let go. Another one than the hold's when
-- hooks changed it.
alter table holds add column sent_as uuid;

-- One-time ids serve sent mail too.
alter table submissions
  alter column hold_id drop not null,
  add column outbox_id uuid references outbox (id) on delete cascade,
  -- for whom the MTA had taken the message when our milter saw its end
  add column recipients jsonb,
  add constraint submissions_owner check (num_nonnulls(hold_id, outbox_id) = 1);
create index submissions_outbox on submissions (outbox_id) where outbox_id is not null;

-- Requests with an Idempotency-Key, for a day. message_id is given before the work begins: whoever takes over after a killed process
-- finds by it what was done.
create table idempotency (
  scope        text not null,
  key          text not null,
  body_digest  bytea not null check (octet_length(body_digest) = 32),
  message_id   uuid not null,
  -- null: it runs, or its process is gone
  answer       jsonb,
  lease_until  timestamptz not null,
  created_at   timestamptz not null default now(),
  primary key (scope, key)
);
create index idempotency_created on idempotency (created_at);
