-- What IMAP sorts and threads by (RFC 5256), made from the header by a job after the message was stored: nothing is written for it
-- when mail comes in. What has no keys yet is found by comparing primary keys, as with search_texts.

create table message_keys (
  message_id    uuid not null references messages (message_id) on delete cascade,
  -- of the code that made it: a newer one makes it again
  version       smallint not null,
  -- the Date field in seconds since 1970; null: none that can be read
  sent_s        bigint,
  -- i;unicode-casemap, cut: compared octet by octet
  subject       text collate "C" not null check (char_length(subject) <= 255),
  from_key      text collate "C" not null check (char_length(from_key) <= 255),
  to_key        text collate "C" not null check (char_length(to_key) <= 255),
  cc_key        text collate "C" not null check (char_length(cc_key) <= 255),
  -- by its subject
  is_reply      boolean not null,
  -- of the base subject; 0: it is empty
  subject_hash  bigint not null,
  -- hashes of message ids, 53 bits: its own (0: none), then those of what it answers
  ids           bigint[] not null check (cardinality(ids) between 1 and 51),
  primary key (message_id) include (version)
);
