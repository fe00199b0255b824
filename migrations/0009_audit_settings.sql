-- The audit log, and settings of plugins by command.

-- Who did what to what. Rows are added and never changed; nothing deletes them.
create table audit (
  id      bigint generated always as identity primary key,
  at      timestamptz not null default clock_timestamp(),
  -- local:<name> by the UNIX socket, rule:<name> for what the service did by itself
  actor   text not null check (octet_length(actor) between 1 and 256),
  -- <kind of object>.<verb>
  action  text not null check (octet_length(action) between 1 and 64),
  -- id or name
  object  text not null check (octet_length(object) <= 4000),
  detail  jsonb not null check (jsonb_typeof(detail) = 'object')
);
create index audit_at on audit (at);
create index audit_actor on audit (actor, id);
create index audit_action on audit (action, id);
create index audit_object on audit (object, id);

create function audit_is_append_only() returns trigger language plpgsql as $$
begin
  raise exception 'the audit log is append only' using errcode = 'insufficient_privilege';
end
$$;
create trigger audit_append_only before update or delete or truncate on audit
  for each statement execute function audit_is_append_only();

-- Settings by command, one row for each plugin that has any. What a file sets goes before.
create table plugin_settings (
  plugin_id  text primary key check (octet_length(plugin_id) between 1 and 128),
  -- those that are no secrets
  plain      jsonb not null default '{}' check (jsonb_typeof(plain) = 'object'),
  -- rises with every change: what If-Match compares. 1 stands for a plugin without a row
  version    bigint not null check (version >= 2),
  updated_at timestamptz not null default now()
);

-- Settings of type secret. Encrypted: a copy of the database without the key file does not hold them.
create table plugin_setting_secrets (
  plugin_id text not null references plugin_settings (plugin_id) on delete cascade,
  key       text not null check (octet_length(key) between 1 and 64),
  -- which key encrypted it: the key file may change
  key_id    text not null,
  -- AES-256-GCM: 12 octets nonce, ciphertext, 16 octets tag; plugin id and key are authenticated with it
  sealed    bytea not null check (octet_length(sealed) >= 28),
  primary key (plugin_id, key)
);
