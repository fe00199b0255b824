-- The journal of what plugins changed in stored copies, so that it can be undone: by plugin, version, time and account.

create table plugin_changes (
  id              bigint generated always as identity primary key,
  at              timestamptz not null default now(),
  -- no reference: what is gone needs no undoing, and deleting mail must not look here
  message_id      uuid not null,
  account_id      bigint not null references accounts (id) on delete cascade,
  plugin_id       text not null,
  plugin_version  text not null,
  hook            text not null,
  point           text not null,
  call_id         text not null,
  -- what became of the wish, as core/copy-changes.ts writes it
  change          jsonb not null,
  undone_at       timestamptz,
  undone_by       text
);
create index plugin_changes_plugin on plugin_changes (plugin_id, id desc) where undone_at is null;
create index plugin_changes_copy on plugin_changes (message_id, account_id);
create index plugin_changes_account on plugin_changes (account_id);
create index plugin_changes_at on plugin_changes using brin (at);
