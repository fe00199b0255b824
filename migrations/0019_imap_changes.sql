-- What an IMAP client needs that comes back after a while: how far back the log of expunges reaches.

-- expunges up to this MODSEQ may be gone from the log; 0: it is whole
alter table mailboxes add column expunged_floor bigint not null default 0 check (expunged_floor between 0 and highest_modseq);
create index expunged_at on expunged using brin (expunged_at);

-- STATUS (DELETED): few have the flag, and nobody counts all to find none
create index entries_deleted on entries (mailbox_id) where flags & 8 <> 0;
