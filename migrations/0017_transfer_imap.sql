-- Import from and export to IMAP servers: what was seen at a source, and what of ours stands where at a target.
--
-- What must never be wrong is held here:
--   * a message of ours stands for one message at a target, and that for one of ours;
--   * of two exports of one account to one target only the younger may go on.

alter table imports drop constraint imports_kind_check;
alter table imports add constraint imports_kind_check check (kind in ('maildir', 'imap'));

-- Where the last whole pass over a folder of a server ended: what changed there later has a higher MODSEQ.
create table import_sources (
  mailbox_id   bigint not null references mailboxes (id) on delete cascade,
  -- server, user and folder
  source       text not null,
  uidvalidity  bigint not null check (uidvalidity between 1 and 4294967295),
  modseq       bigint not null check (modseq > 0),
  primary key (mailbox_id, source)
);

create table exports (
  id           bigint generated always as identity primary key,
  account_id   bigint not null references accounts (id) on delete cascade,
  -- user and server
  target       text not null,
  -- interrupted: another export of the account began before this one said that it ended
  state        text not null default 'running' check (state in ('running', 'done', 'changed', 'failed', 'interrupted')),
  started_at   timestamptz not null default now(),
  finished_at  timestamptz,
  -- Folder there to which messages are on their way: when the answer got lost, they may be there or come to be there. Null: none are.
  -- Passed on to the next export, which waits until that folder is quiet.
  appending_to text,
  appending_at timestamptz,
  copied       bigint not null default 0,
  copied_bytes bigint not null default 0,
  report       jsonb
);
create index exports_account on exports (account_id, id desc);
create unique index exports_running on exports (account_id) where state = 'running';

create table export_mailboxes (
  id           bigint generated always as identity primary key,
  mailbox_id   bigint not null references mailboxes (id) on delete cascade,
  target       text not null,
  folder       text not null,
  -- of the folder there; with another one nothing below means anything
  uidvalidity  bigint not null check (uidvalidity between 1 and 4294967295),
  unique (mailbox_id, target)
);

create table export_messages (
  export_mailbox_id bigint not null references export_mailboxes (id) on delete cascade,
  uid          bigint not null,
  there_uid    bigint not null,
  -- ours at the last pass: what changed since is carried over
  flags        smallint not null default 0 check (flags between 0 and 31),
  keywords     text[] not null default '{}',
  primary key (export_mailbox_id, uid),
  unique (export_mailbox_id, there_uid)
) with (fillfactor = 80);

-- Whether an entry stands for a message of a source: asked for each one that may.
create index import_messages_uid on import_messages (mailbox_id, uid);
