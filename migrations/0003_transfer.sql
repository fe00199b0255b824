-- Import and verify: what was taken from where, so that a second pass copies only what is new, and the last comparison per account.
--
-- What must never be wrong is held here:
--   * a message of a source is stored once: its key is written in the transaction that stores the entry;
--   * UIDVALIDITY of a mailbox changes only before its first entry, so that no UID ever means two messages.

create table imports (
  id           bigint generated always as identity primary key,
  account_id   bigint not null references accounts (id) on delete cascade,
  kind         text not null check (kind in ('maildir')),
  -- where from, as the command was told: for people
  source       text not null,
  -- interrupted: another import into the account began before this one said that it ended
  state        text not null default 'running' check (state in ('running', 'done', 'changed', 'failed', 'interrupted')),
  started_at   timestamptz not null default now(),
  finished_at  timestamptz,
  -- counted in the transactions that store
  copied       bigint not null default 0,
  copied_bytes bigint not null default 0,
  report       jsonb
);
create index imports_account on imports (account_id, id desc);

-- A mailbox whose UIDs and UIDVALIDITY are those of its source.
create table import_kept_uids (
  mailbox_id   bigint primary key references mailboxes (id) on delete cascade,
  uidvalidity  bigint not null check (uidvalidity between 1 and 4294967295)
);

create table import_messages (
  mailbox_id   bigint not null references mailboxes (id) on delete cascade,
  -- names the message at its source for good: a Maildir file's base name
  source_key   text not null,
  -- its UID there, when there was one
  source_uid   bigint,
  -- of the stored bytes
  digest       bytea not null check (octet_length(digest) = 32),
  -- the entry it became; it may be expunged since
  uid          bigint not null,
  -- as the source had them at the last pass: what changed there since is applied here
  flags        smallint not null default 0 check (flags between 0 and 31),
  keywords     text[] not null default '{}',
  -- the last import that saw it at the source
  seen_in      bigint not null,
  primary key (mailbox_id, source_key)
) with (fillfactor = 80);
create index import_messages_digest on import_messages (mailbox_id, digest);

create table verifications (
  account_id   bigint primary key references accounts (id) on delete cascade,
  -- server and user, without password
  against      text not null,
  mode         text not null check (mode in ('headers', 'full')),
  equal        boolean not null,
  result       jsonb not null,
  finished_at  timestamptz not null default now()
);

create or replace function mailboxes_guard() returns trigger language plpgsql as $$
begin
  if new.uidvalidity <> old.uidvalidity and (
    old.uidnext > 1 or old.highest_modseq > 1 or exists (select 1 from entries e where e.mailbox_id = old.id)
  ) then
    raise exception 'UIDVALIDITY of mailbox % cannot change', old.id using errcode = 'integrity_constraint_violation';
  end if;
  if new.uidnext < old.uidnext or new.highest_modseq < old.highest_modseq then
    raise exception 'UIDNEXT and HIGHESTMODSEQ of mailbox % cannot go back', old.id using errcode = 'integrity_constraint_violation';
  end if;
  return new;
end $$;
