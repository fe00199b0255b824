-- Makes what IMAP sorts and threads by (0020_message_keys.sql), after the commit, as search_text makes its texts.

insert into jobs (kind, repeat_ms) values ('message_keys', 15000);
