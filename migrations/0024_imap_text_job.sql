-- The standing job that makes what IMAP's SEARCH may leave out (imap_texts).

-- the newest of what is made; complete_below holds for it. Who knows an older one must not rely on what it saw before
alter table imap_text_progress add column version smallint not null default 0;
-- few: they may hold any text, and every search asks for them
create index imap_texts_incomplete on imap_texts (message_id) where not complete;
-- statistics of some thousand numbers per row cost more than the one plan there is
alter table imap_texts alter column grams set statistics 0;

insert into jobs (kind, repeat_ms) values ('imap_text', 15000);
