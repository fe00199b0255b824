-- Secrets that calls of plugins by HTTP are signed with. Encrypted: a copy of the database without the key file does not hold them.
--
-- States of a secret: staged (activated_at null: it signs, but not alone) → active → in its grace (retire_at set) → gone (row deleted).
-- A plugin's first secret is active at once and was shown to nobody.

create table plugin_secrets (
  plugin_id    text not null check (octet_length(plugin_id) between 1 and 128),
  secret_id    uuid not null,
  -- which key encrypted it: the key file may change
  key_id       text not null,
  -- AES-256-GCM: 12 octets nonce, ciphertext, 16 octets tag; plugin id and secret id are authenticated with it
  sealed       bytea not null check (octet_length(sealed) = 60),
  -- somebody was told it
  shown        boolean not null,
  created_at   timestamptz not null default now(),
  activated_at timestamptz,
  -- signs until then beside its successor
  retire_at    timestamptz,
  primary key (plugin_id, secret_id)
);
