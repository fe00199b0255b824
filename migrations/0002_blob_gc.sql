-- Collecting blobs that no message refers to: what src/store/blob-gc.ts proves stands on these columns and triggers.
--
-- States of a blob row: live → marked (collecting_since) → removed (removed_at: its file is gone) → no row. A delivery that stores
-- the same bytes meanwhile meets the row and is refused with SQLSTATE M0B01, whole; it revives the row and comes again.
-- A row of messages is only ever inserted together with the insert or update of its blob's row, in one statement.

alter table blobs
  -- the last time a message that had it was deleted: look here for what is collectable; null: nothing to look for
  add column loose_since       timestamptz,
  add column collecting_since  timestamptz,
  add column removed_at        timestamptz,
  add constraint blobs_removed_was_marked check (removed_at is null or collecting_since is not null);
update blobs b set loose_since = now() where not exists (select 1 from messages m where m.blob_digest = b.digest);
create index blobs_loose on blobs (loose_since) where loose_since is not null;
create index blobs_collecting on blobs (collecting_since) where collecting_since is not null;

create function blobs_refuse_collected() returns trigger language plpgsql as $$
begin
  raise exception 'blob % is being collected', encode(old.digest, 'hex') using errcode = 'M0B01';
end $$;
-- Only for rows in these states, and only where the delivery's upsert goes: it costs other deliveries nothing.
create trigger blobs_refuse_collected before update of touched_at on blobs
  for each row when (old.collecting_since is not null and new.collecting_since is not null)
  execute function blobs_refuse_collected();

create function messages_removed() returns trigger language plpgsql as $$
begin
  -- In digest order, as deliveries lock them. Whether it was the last message that had the blob is the collector's question:
  -- of two that go at the same time neither sees that the other does.
  perform 1 from blobs where digest in (select blob_digest from removed) order by digest for no key update;
  update blobs b set loose_since = now() from removed r where b.digest = r.blob_digest;
  return null;
end $$;
create trigger messages_removed after delete on messages
  referencing old table as removed for each statement execute function messages_removed();

-- One row: how far the search for files without a row has come, and the folder that belongs to this database.
create table blob_gc (
  one        boolean primary key default true check (one),
  next_part  integer not null default 0 check (next_part >= 0),
  walked_at  timestamptz,
  folder_id  uuid not null default gen_random_uuid()
);
insert into blob_gc default values;
