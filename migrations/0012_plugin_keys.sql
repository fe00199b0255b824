-- Whom this service trusts to vouch for plugins, and what it does not run any more.

create table plugin_keys (
  -- SHA-256 of spki, hex
  key_id    text primary key check (key_id ~ '^[0-9a-f]{64}$'),
  role      text not null check (role in ('marketplace', 'private')),
  algorithm text not null check (algorithm in ('ed25519', 'rsa-sha256')),
  -- SubjectPublicKeyInfo, DER; the key's algorithm is in it, and a package has no say in it
  spki      bytea not null check (octet_length(spki) between 32 and 2048),
  label     text not null check (char_length(label) between 1 and 200),
  added_by  text not null,
  added_at  timestamptz not null default now(),
  -- a marketplace signs with Ed25519
  check (role <> 'marketplace' or algorithm = 'ed25519')
);

-- A key needs no row in plugin_keys to be revoked: a developer's key that was pinned by a package has none.
create table plugin_revocations (
  kind       text not null check (kind in ('key', 'plugin', 'version', 'package')),
  -- key id, plugin id, id@version, SHA-256 of the package
  value      text not null check (octet_length(value) between 1 and 200),
  severity   text not null check (severity in ('malicious', 'vulnerable')),
  reason     text not null check (char_length(reason) <= 500),
  revoked_by text not null,
  revoked_at timestamptz not null default now(),
  primary key (kind, value)
);
