-- How far hooks may go: demotions, bypasses, what hooks in shadow would have done, and counts that outlive a restart.

-- Hooks that went back to shadow by themselves, of whatever origin. The row goes when somebody sets their mode again.
create table hook_overrides (
  hook    text primary key,
  mode    text not null check (mode = 'shadow'),
  reason  text not null,
  at      timestamptz not null default now()
);

-- Plugins that are not called for a while. Over when `until` has passed.
create table bypasses (
  -- '': all plugins
  plugin_id  text primary key,
  until      timestamptz,
  set_by     text not null,
  at         timestamptz not null default now()
);

-- Examples of what a hook in shadow would have made otherwise; the newest of each hook, no text of mail.
create table hook_diffs (
  id           bigint generated always as identity primary key,
  hook         text not null,
  plugin_id    text not null,
  point        text not null,
  at           timestamptz not null,
  call_id      text not null,
  message_id   text not null,
  queue_id     text not null,
  recipient    text not null,
  -- [{field, would, was}]
  differences  jsonb not null
);
create index hook_diffs_hook on hook_diffs (hook, id desc);
create index hook_diffs_at on hook_diffs (at);

-- Counts that all nodes add to. hook: figures by minute; cap: actions of a plugin by minute; usage: its cost by day (UTC).
create table tallies (
  kind    text not null check (kind in ('hook', 'cap', 'usage')),
  name    text not null,
  slot    timestamptz not null,
  what    text not null,
  amount  double precision not null,
  primary key (kind, name, slot, what)
);
create index tallies_slot on tallies (kind, slot);
