-- Held mail: messages that a hook, or somebody's policy, keeps from their recipients until a person decides.
--
-- What must never be wrong is held here:
--   * while a hold is open its message stays (open_message_id refers to it), and with the message its blob;
--   * only who has the lease of a release may end it;
--   * a one-time id is used once (the update that takes it says so).

create table holds (
  id               uuid primary key,
  -- a messages row while the hold is open or the message is stored somewhere; of the timeline for longer
  message_id       uuid not null,
  state            text not null default 'held'
                   check (state in ('held', 'releasing', 'released', 'rejected', 'deleted', 'expired')),
  open_message_id  uuid generated always as (case when state in ('held', 'releasing') then message_id end) stored
                   references messages (message_id),
  point            text not null check (point in ('pre_receive', 'pre_delivery', 'pre_send')),
  -- the place in the chain of the hook that holds it: release goes on behind it; null: no hook of this point
  hook_priority    integer,
  hook_name        text,
  plugin_id        text,
  reason           text not null default '',
  queue_id         text not null default '',
  mail_from        text not null default '',
  -- [{address, orcpt?, notify?}]: those who still wait for it
  recipients       jsonb not null check (jsonb_typeof(recipients) = 'array'),
  -- whose mail it is when it was held at LMTP; the address outlives the account
  account_id       bigint references accounts (id) on delete set null,
  account          text,
  -- what had been decided so far: tags, flags, folder, metadata, header fields, provenance
  decision         jsonb not null,
  -- bytes in front of the blob when it is stored, without the fields of the decision
  prefix           bytea not null default '',
  -- of the client and the SMTP session, for hooks that run at the release
  client           jsonb not null default '{}',
  auth_user        text,
  -- why the last release did not end it
  problem          text,
  lease            uuid,
  lease_until      timestamptz,
  created_at       timestamptz not null default now(),
  expires_at       timestamptz not null,
  ended_at         timestamptz,
  ended_by         text,
  constraint holds_place check ((hook_priority is null) = (hook_name is null)),
  constraint holds_lease check ((state = 'releasing') = (lease is not null and lease_until is not null)),
  constraint holds_ended check ((state in ('held', 'releasing')) = (ended_at is null))
);
create index holds_open_message on holds (open_message_id) where open_message_id is not null;
create index holds_message on holds (message_id);
create index holds_expiry on holds (expires_at) where state in ('held', 'releasing');
create index holds_ended_at on holds (ended_at) where ended_at is not null;
create index holds_account on holds (account_id) where account_id is not null;

-- One-time ids of mail that the sidecar submits itself: the milter takes them, and does not judge that mail again.
create table submissions (
  token_hash  bytea primary key check (octet_length(token_hash) = 32),
  hold_id     uuid not null references holds (id) on delete cascade,
  point       text not null,
  -- [{decision, for: [[recipient, orcpt], …]}], as in verdicts
  verdicts    jsonb not null,
  created_at  timestamptz not null default now(),
  expires_at  timestamptz not null,
  used_at     timestamptz,
  -- Postfix's, of the message that carried it
  queue_id    text
);
create index submissions_hold on submissions (hold_id);
create index submissions_expiry on submissions (expires_at);
