-- Relayed mail: copies beside those of the next hop. That the next hop took a message for somebody is a row of `deliveries` with
-- outcome 'relayed' and the recipient as the MTA gave it ('rcpt:…'), and one of the account, so that it holds in stage store too.

create table relay_copies (
  id             bigint generated always as identity primary key,
  message_id     uuid not null references messages (message_id),
  -- mirror: becomes an entry of a mailbox; hooks: only a job reads it
  kind           text not null check (kind in ('mirror', 'hooks')),
  -- pending: the next hop has not answered; kept: it took the message, and the job is not done (hooks)
  state          text not null default 'pending' check (state in ('pending', 'kept')),
  -- null: only the next hop knows the recipient
  account_id     bigint references accounts (id) on delete cascade,
  address        text not null,
  domain         text not null,
  -- of the entry that it becomes
  mailbox        text not null,
  flags          smallint not null check (flags between 0 and 31),
  keywords       text[] not null,
  internal_date  timestamptz not null,
  prefix         bytea not null,
  metadata       jsonb not null,
  wishes         jsonb not null,
  created_at     timestamptz not null default now(),
  check (kind = 'hooks' or (account_id is not null and state = 'pending'))
);
create index relay_copies_message on relay_copies (message_id);
create index relay_copies_created_at on relay_copies (created_at);
create index relay_copies_account on relay_copies (account_id) where account_id is not null;

-- Copies whose next hop took the message become entries: UID and MODSEQ are taken now, under the same locks and in the same order as
-- in store_deliveries. No quota: the next hop has the mail, and its copy here must not be missing. An account that has the delivery
-- already gets no second entry. Answers the entries; all wanted copies of kind mirror are gone then.
create function relay_settle(wanted bigint[], lock_ms integer, window_s float8)
returns table (copy_id bigint, mailbox_id bigint, mailbox text, uid bigint) language plpgsql as $$
#variable_conflict use_column
begin
  perform set_config('lock_timeout', lock_ms::text, true);
  perform 1 from accounts a join mailboxes m on m.account_id = a.id
    where a.id in (select account_id from relay_copies where id = any (wanted))
      and (m.name = 'INBOX' or m.name in (select c.mailbox from relay_copies c where c.id = any (wanted)))
    order by a.id, m.id for no key update of a, m;
  insert into deliveries as k (queue_id, recipient, digest, message_id, outcome)
    select distinct on (m.queue_id, c.account_id, m.blob_digest)
           m.queue_id, 'account:' || c.account_id, m.blob_digest, m.message_id, 'relayed'
    from relay_copies c join messages m using (message_id)
    where c.id = any (wanted) and m.queue_id <> '' order by m.queue_id, c.account_id, m.blob_digest, c.id
    on conflict (queue_id, recipient, digest) do update
      set message_id = excluded.message_id, outcome = excluded.outcome, created_at = now()
      where k.created_at <= now() - make_interval(secs => window_s);
  return query
  with mine as (
    select c.*, coalesce(b.id, i.id) as box, g.size_bytes + octet_length(c.prefix) as size
    from relay_copies c join messages g using (message_id)
      join mailboxes i on i.account_id = c.account_id and i.name = 'INBOX'
      left join mailboxes b on b.account_id = c.account_id and b.name = c.mailbox
      left join deliveries k
        on k.queue_id = g.queue_id and k.recipient = 'account:' || c.account_id and k.digest = g.blob_digest
    where c.id = any (wanted) and c.kind = 'mirror' and (k.message_id is null or k.message_id = c.message_id)
  ), placed as (
    select n.*, m.name as box_name, m.uidnext + row_number() over (partition by n.box order by n.id) - 1 as new_uid,
           m.highest_modseq + row_number() over (partition by n.box order by n.id) as new_modseq
    from mine n join mailboxes m on m.id = n.box
  ), entered as (
    insert into entries (mailbox_id, uid, modseq, message_id, flags, keywords, internal_date, prefix, size_bytes, metadata)
    select box, new_uid, new_modseq, message_id, flags, keywords, internal_date, prefix, size, metadata from placed
  ), gone as (
    delete from relay_copies where id = any (wanted) and kind = 'mirror'
  )
  select id, box, box_name, new_uid from placed order by id;
end $$;
