-- What IMAP's SEARCH of substrings may leave out, and PREVIEW (RFC 8970); made by a job after the message was stored, as search_texts.

create table imap_texts (
  message_id  uuid not null references messages (message_id) on delete cascade,
  -- of the code that made it: a newer one makes it again
  version     smallint not null,
  -- false: something was left out, so the message may hold any text
  complete    boolean not null,
  -- null: not made
  preview     text check (char_length(preview) <= 200),
  -- hashes of what stands side by side in header and body, as SEARCH sees them
  grams       integer[] not null,
  primary key (message_id) include (version)
);
-- As with search_texts: every search reads the list of new entries to its end, so it is kept short.
create index imap_texts_grams on imap_texts using gin (grams) with (fastupdate = on, gin_pending_list_limit = 2048);

-- Every message below has its text; null: not known yet.
create table imap_text_progress (
  only_row        boolean primary key default true check (only_row),
  complete_below  uuid
);
insert into imap_text_progress default values;
