-- The standing job that makes what IMAP's SEARCH may leave out (imap_texts).

-- of the version for which it holds; another version starts again
alter table imap_text_progress add column version smallint not null default 0;
-- few: they may hold any text, and every search asks for them
create index imap_texts_incomplete on imap_texts (message_id) where not complete;
-- statistics of some thousand numbers per row cost more than the one plan there is
alter table imap_texts alter column grams set statistics 0;

insert into jobs (kind, repeat_ms) values ('imap_text', 15000);
