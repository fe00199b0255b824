-- What our own checks said of a sender, and the keys that mail we send is signed with.

create table sender_auth (
  message_id  uuid primary key references messages (message_id) on delete cascade,
  -- {spf, dkim, dmarc, arc}: each {result, detail}, as payloads have it
  facts       jsonb not null check (jsonb_typeof(facts) = 'object')
);

-- The commit of a message brings the facts as an event of its timeline; events end with their retention, this row with the message.
create function sender_auth_noted() returns trigger language plpgsql as $$
begin
  insert into sender_auth (message_id, facts)
  select new.message_id, one -> 'data' from jsonb_array_elements(new.list) as one
  where one ->> 'kind' = 'authenticated'
    and exists (select from messages m where m.message_id = new.message_id)
  limit 1
  on conflict do nothing;
  return null;
end $$;
create trigger events_authenticated after insert on events
  for each row when (new.list @> '[{"kind": "authenticated"}]') execute function sender_auth_noted();

-- DKIM keys of our domains (RFC 6376). Mail is signed with every key of its domain.
create table dkim_keys (
  domain      text not null references domains (name) on delete cascade,
  selector    text not null check (selector ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$'),
  algorithm   text not null check (algorithm in ('rsa-sha256', 'ed25519-sha256')),
  -- p= of the record in DNS, base64
  public_key  text not null check (public_key <> ''),
  -- which master key the private key is sealed with, and the sealed PKCS #8 bytes
  key_id      text not null,
  sealed      bytea not null,
  created_at  timestamptz not null default now(),
  primary key (domain, selector)
);
