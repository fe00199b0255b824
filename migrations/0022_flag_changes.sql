-- What users change of flags by IMAP, for the timelines of messages. One row for all messages of a change: a client marks a whole
-- mailbox as read with one command.

create table flag_changes (
  id          bigint generated always as identity primary key,
  at          timestamptz not null default now(),
  mailbox_id  bigint not null references mailboxes (id) on delete cascade,
  -- mailbox and UID in one number: mailbox_id * 2^32 + uid
  places      int8multirange not null,
  -- what a timeline tells
  data        jsonb not null
);
create index flag_changes_places on flag_changes using gist (places);
create index flag_changes_mailbox on flag_changes (mailbox_id);
create index flag_changes_at on flag_changes using brin (at);

-- where a message was before it was moved
create index expunged_message on expunged (message_id);
