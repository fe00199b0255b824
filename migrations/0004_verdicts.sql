-- What the milter decided, for LMTP: one row for each message about which there is more to tell than "deliver".

create table verdicts (
  -- in the trace field of the message
  trace_id    uuid primary key,
  queue_id    text not null,
  point       text not null check (point in ('pre_receive', 'pre_send')),
  mail_from   text not null,
  -- the same for all recipients
  uniform     boolean not null,
  -- [{decision, for: [[recipient, orcpt], …]}]: each decision once
  list        jsonb not null check (jsonb_typeof(list) = 'array'),
  expires_at  timestamptz not null
);
-- was it submitted here
create index verdicts_submitted on verdicts (queue_id) where point = 'pre_send';
create index verdicts_expires_at on verdicts (expires_at);
