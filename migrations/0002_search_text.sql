-- The durable job queue, and the text that search looks at.
--
-- No row is written for search when a message is stored: what has no text yet is found by comparing the primary keys of messages
-- and search_texts. What must never be wrong is held here:
--   * of each standing kind of job there is one row, and it never ends for good;
--   * a text goes with its message.

alter table jobs
  -- a standing job waits this long after each run and runs again; null: it runs once
  add column repeat_ms         integer check (repeat_ms > 0),
  -- asked for while it runs; its worker hears at the next renewal
  add column cancel_requested  boolean not null default false,
  -- what its handler wants to find again after a crash
  add column checkpoint        jsonb not null default '{}',
  add constraint jobs_lease check ((state = 'running') = (lease_owner is not null and lease_until is not null)),
  add constraint jobs_standing check (repeat_ms is null or state in ('queued', 'running'));
create unique index jobs_one_standing on jobs (kind) where repeat_ms is not null;
create index jobs_finished on jobs (finished_at) where finished_at is not null;

create table search_texts (
  message_id  uuid not null references messages (message_id) on delete cascade,
  -- of the code that made it: a newer one makes it again
  version     smallint not null,
  outcome     text not null check (outcome in ('complete', 'cut', 'failed')),
  -- what was cut or why it failed
  reason      text,
  -- subject, addresses, attachment names, body: NFKC, lower case, white space joined; one field per line
  folded      text not null,
  -- hashes of every pair of Japanese, Chinese or Korean characters and of every three other letters and digits in `folded`
  grams       integer[] not null,
  primary key (message_id) include (version)
);
-- New entries wait in a list that every search reads to its end: the list is the tail that is not indexed yet, and it is kept short.
create index search_texts_grams on search_texts using gin (grams) with (fastupdate = on, gin_pending_list_limit = 2048);

-- Every message below has its text; null: not known yet.
create table search_progress (
  only_row        boolean primary key default true check (only_row),
  complete_below  uuid
);
insert into search_progress default values;

insert into jobs (kind, repeat_ms) values ('search_text', 15000);
