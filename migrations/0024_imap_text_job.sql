-- The standing job that makes what IMAP's SEARCH may leave out (imap_texts).

-- the newest of what is made; complete_below holds for it. Who knows an older one must not rely on what it saw before
alter table imap_text_progress add column version smallint not null default 0;
-- what deliveries put in front of the message (entries.prefix) is in grams too: the first 8 octets of the SHA-256 of each. An entry with
-- another one, made later, may hold any text
alter table imap_texts add column prefixes bytea not null default '';
-- hashes cannot be compressed
alter table imap_texts alter column grams set storage external;
-- statistics of some thousand numbers per row cost more than the one plan there is
alter table imap_texts alter column grams set statistics 0;

insert into jobs (kind, repeat_ms) values ('imap_text', 15000);
