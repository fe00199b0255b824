-- What was decided about each plugin, and the packages that it came in. Files of the configuration go before these rows.

create table plugins (
  id              text primary key check (octet_length(id) between 1 and 128),
  state           text not null check (state in ('installed', 'enabled', 'disabled', 'failed', 'uninstalled')),
  -- why it is in this state
  reason          text,
  -- the installed version that runs; null: the plugin is a folder's
  version         text,
  -- for rollback, newest first
  previous        text[] not null default '{}' check (cardinality(previous) <= 2),
  -- installed beside the one that runs, and waits for somebody's consent
  pending         text,
  -- the highest version ever installed: a lower one needs somebody's word
  highest_version text,
  -- fingerprint of the developer key of its first signed package
  developer_key   text,
  -- {terms, version, digest, by, at}: what was granted, and what was agreed to beside
  approval        jsonb check (jsonb_typeof(approval) = 'object'),
  -- rises with every change
  row_version     bigint not null default 1 check (row_version >= 1),
  updated_at      timestamptz not null default now()
);

-- As they came, so that every node can unpack them. Exactly those that their plugin's row names.
create table plugin_packages (
  plugin_id text not null references plugins (id) on delete cascade,
  version   text not null check (octet_length(version) between 1 and 64),
  bytes     bytea not null check (octet_length(bytes) between 1 and 8388608),
  added_at  timestamptz not null default now(),
  primary key (plugin_id, version)
);
-- Packed already.
alter table plugin_packages alter column bytes set storage external;
