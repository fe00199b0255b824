-- The egress ledger, loaded from the nodes' spools, and hooks that were made by command.

-- What left for which plugin, and when. A spool that is loaded again after a crash adds nothing twice: the key.
create table ledger (
  call_id         text not null,
  attempt         integer not null check (attempt >= 1),
  -- just before the payload left
  at              timestamptz not null,
  -- the id of the message in our logs; the milter's trace id where it was called there
  message_id      text not null,
  queue_id        text not null default '',
  point           text not null,
  hook            text not null,
  plugin_id       text not null,
  plugin_version  text not null,
  mode            text not null,
  -- what the payload carried beyond the envelope of every call
  fields          text[] not null,
  -- the grants that let it out
  grants          jsonb not null,
  bytes           bigint not null,
  -- SHA-256 of the payload, hex
  digest          text not null,
  destination     text not null,
  recipients      integer not null,
  primary key (call_id, attempt)
);
create index ledger_at on ledger (at desc, call_id desc, attempt desc);
create index ledger_plugin on ledger (plugin_id, at desc);
create index ledger_message on ledger (message_id);
create index ledger_queue_id on ledger (queue_id) where queue_id <> '';

-- Hooks by command. A hook of a configuration file with the same name goes before.
create table hooks (
  name        text primary key,
  -- the keys of [[hooks]] that were set, without the name; checked by that schema, which has the defaults
  keys        jsonb not null check (jsonb_typeof(keys) = 'object'),
  -- rises with every change: what If-Match compares
  version     bigint not null default 1 check (version >= 1),
  created_at  timestamptz not null default now(),
  updated_at  timestamptz not null default now()
);
