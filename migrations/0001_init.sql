-- The first schema: tenants, domains, accounts, mailboxes, blobs, messages, mailbox entries, timeline, jobs.
--
-- What must never be wrong is held here and not only in code:
--   * UIDs of a mailbox rise and are never used twice, UIDVALIDITY never changes, MODSEQ rises with every change
--     (triggers on mailboxes and entries);
--   * counters of mailboxes and accounts follow their entries exactly (the same triggers);
--   * an expunged UID is logged with its MODSEQ (for QRESYNC), in the transaction that removes it;
--   * an entry points to a message, a message to a blob row; neither can go while it is pointed to.

create table tenants (
  name        text primary key,
  created_at  timestamptz not null default now()
);
insert into tenants (name) values ('main');

create table domains (
  name         text primary key check (name = lower(name) and name <> ''),
  -- who made it: a configuration file, or somebody by command; what a file no longer names is switched off
  origin       text not null default 'created' check (origin in ('file', 'created')),
  enabled      boolean not null default true,
  tenant       text not null default 'main' references tenants (name),
  -- the current stage; a config file gives the initial value only
  stage        text not null default 'store' check (stage in ('observe', 'hooks', 'mirror', 'store')),
  accounts     text not null default 'listed' check (accounts in ('auto', 'listed')),
  quota_bytes  bigint not null default 0 check (quota_bytes >= 0),
  created_at   timestamptz not null default now()
);

create table accounts (
  id             bigint generated always as identity primary key,
  domain         text not null references domains (name),
  -- NFC, lower case: how accounts are looked up
  local_part     text not null check (local_part <> ''),
  -- as it was first received or typed
  address        text not null,
  password_hash  text,
  -- null: the domain's quota
  quota_bytes    bigint check (quota_bytes >= 0),
  used_bytes     bigint not null default 0 check (used_bytes >= 0),
  used_messages  bigint not null default 0 check (used_messages >= 0),
  created_at     timestamptz not null default now(),
  unique (domain, local_part)
) with (fillfactor = 70);

create table aliases (
  domain      text not null references domains (name),
  local_part  text not null check (local_part <> ''),
  account_id  bigint not null references accounts (id) on delete cascade,
  created_at  timestamptz not null default now(),
  primary key (domain, local_part)
);
create index aliases_account on aliases (account_id);

-- UIDVALIDITY: seconds since 1970, and never the same value twice even when mailboxes are made within one second.
create sequence uidvalidity_values;
create function new_uidvalidity() returns bigint language sql volatile as $$
  select setval('uidvalidity_values', greatest(nextval('uidvalidity_values'), extract(epoch from clock_timestamp())::bigint))
$$;

create table mailboxes (
  id              bigint generated always as identity primary key,
  account_id      bigint not null references accounts (id) on delete cascade,
  -- '/' separates levels; INBOX is upper case
  name            text not null check (name <> '' and (upper(name) <> 'INBOX' or name = 'INBOX')),
  special_use     text check (special_use in ('\Junk', '\Sent', '\Archive', '\Trash', '\Drafts')),
  uidvalidity     bigint not null default new_uidvalidity() check (uidvalidity between 1 and 4294967295),
  uidnext         bigint not null default 1 check (uidnext between 1 and 4294967295),
  highest_modseq  bigint not null default 1 check (highest_modseq >= 1),
  messages        bigint not null default 0 check (messages >= 0),
  unseen          bigint not null default 0 check (unseen between 0 and messages),
  size_bytes      bigint not null default 0 check (size_bytes >= 0),
  created_at      timestamptz not null default now(),
  unique (account_id, name)
) with (fillfactor = 50);

-- Subscriptions outlive their mailbox (RFC 3501 section 6.3.9).
create table subscriptions (
  account_id  bigint not null references accounts (id) on delete cascade,
  name        text not null,
  primary key (account_id, name)
);

create table blobs (
  digest        bytea primary key check (octet_length(digest) = 32),
  size_bytes    bigint not null check (size_bytes >= 0),
  stored_bytes  bigint not null check (stored_bytes >= 0),
  codec         text not null check (codec in ('none', 'brotli')),
  -- last put or last lost reference: a blob is collectable only long after it
  touched_at    timestamptz not null default now(),
  -- the collector has claimed it, and removed its file; see src/store/blob-gc.ts
  claimed_at    timestamptz,
  removed_at    timestamptz check (removed_at is null or claimed_at is not null)
);
create index blobs_claimed on blobs (digest) where claimed_at is not null;

create table messages (
  message_id         uuid primary key,
  blob_digest        bytea not null references blobs (digest),
  size_bytes         bigint not null check (size_bytes >= 0),
  header_bytes       integer not null check (header_bytes >= 0),
  -- ENVELOPE, BODYSTRUCTURE and the offsets of every part: packed bytes, because text refuses NUL
  structure          bytea not null,
  -- root header block as received; null when too large, then it is read from the blob
  header             bytea,
  message_id_header  text,
  subject            text not null default '',
  from_text          text not null default '',
  thread_key         text,
  attachments        integer not null default 0 check (attachments >= 0),
  queue_id           text not null default '',
  mail_from          text not null default '',
  received_at        timestamptz not null
);
create index messages_blob on messages (blob_digest);
create index messages_queue_id on messages (queue_id) where queue_id <> '';
create index messages_message_id_header on messages (message_id_header) where message_id_header is not null;

-- One message in one mailbox.
create table entries (
  -- no cascade: entries are deleted by name first, so that counters and the expunge log see it
  mailbox_id     bigint not null references mailboxes (id),
  uid            bigint not null check (uid between 1 and 4294967294),
  modseq         bigint not null check (modseq >= 1),
  message_id     uuid not null references messages (message_id),
  -- 1 \Seen, 2 \Answered, 4 \Flagged, 8 \Deleted, 16 \Draft
  flags          smallint not null default 0 check (flags between 0 and 31),
  keywords       text[] not null default '{}',
  internal_date  timestamptz not null,
  -- bytes in front of the blob for this entry only: Return-Path, Delivered-To, Received, hook fields
  prefix         bytea not null default '',
  -- octets of prefix and blob together: RFC822.SIZE
  size_bytes     bigint not null check (size_bytes >= octet_length(prefix)),
  metadata       jsonb not null default '{}',
  primary key (mailbox_id, uid)
) with (fillfactor = 90);
create index entries_message on entries (message_id);
create index entries_modseq on entries (mailbox_id, modseq);

create table expunged (
  mailbox_id   bigint not null references mailboxes (id) on delete cascade,
  uid          bigint not null,
  modseq       bigint not null,
  message_id   uuid not null,
  expunged_at  timestamptz not null default now(),
  primary key (mailbox_id, uid)
);
create index expunged_modseq on expunged (mailbox_id, modseq);

-- What identifies a delivery that may come again: the queue id, the recipient and the content.
create table deliveries (
  queue_id    text not null check (queue_id <> ''),
  recipient   text not null,
  digest      bytea not null,
  message_id  uuid not null,
  outcome     text not null default 'stored' check (outcome in ('stored', 'held', 'relayed')),
  created_at  timestamptz not null default now(),
  primary key (queue_id, recipient, digest)
);
create index deliveries_created_at on deliveries using brin (created_at);

-- What happened to a message: one row per write, with the events that belong together. list: [{at, kind, recipient?, data}].
create table events (
  id          bigint generated always as identity primary key,
  message_id  uuid not null,
  queue_id    text not null default '',
  at          timestamptz not null,
  list        jsonb not null check (jsonb_typeof(list) = 'array')
);
create index events_message on events (message_id);
create index events_queue_id on events (queue_id) where queue_id <> '';
create index events_at on events using brin (at);

create table jobs (
  id            bigint generated always as identity primary key,
  kind          text not null,
  payload       jsonb not null default '{}',
  state         text not null default 'queued' check (state in ('queued', 'running', 'done', 'failed', 'canceled')),
  run_at        timestamptz not null default now(),
  attempts      integer not null default 0,
  max_attempts  integer not null default 10,
  lease_owner   text,
  lease_until   timestamptz,
  progress      smallint not null default 0 check (progress between 0 and 100),
  error         text,
  message_id    uuid,
  created_at    timestamptz not null default now(),
  finished_at   timestamptz
);
create index jobs_ready on jobs (kind, run_at) where state = 'queued';
create index jobs_leased on jobs (lease_until) where state = 'running';

-- ---------------------------------------------------------------- what holds the invariants

create function mailboxes_guard() returns trigger language plpgsql as $$
begin
  if new.uidvalidity <> old.uidvalidity then
    raise exception 'UIDVALIDITY of mailbox % cannot change', old.id using errcode = 'integrity_constraint_violation';
  end if;
  if new.uidnext < old.uidnext or new.highest_modseq < old.highest_modseq then
    raise exception 'UIDNEXT and HIGHESTMODSEQ of mailbox % cannot go back', old.id using errcode = 'integrity_constraint_violation';
  end if;
  return new;
end $$;
-- By its condition it costs deliveries nothing.
create trigger mailboxes_guard before update on mailboxes for each row
  when (new.uidvalidity <> old.uidvalidity or new.uidnext < old.uidnext or new.highest_modseq < old.highest_modseq)
  execute function mailboxes_guard();

-- Runs for every batch of mail: the settings are those of store_deliveries.
create function entries_added() returns trigger language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
begin
  if exists (
    select 1 from added a join mailboxes m on m.id = a.mailbox_id
    where a.uid < m.uidnext or a.modseq <= m.highest_modseq
  ) then
    raise exception 'a new entry needs a UID from UIDNEXT on and a MODSEQ above HIGHESTMODSEQ' using errcode = 'integrity_constraint_violation';
  end if;
  update mailboxes m set
    uidnext = s.uid + 1, highest_modseq = s.modseq,
    messages = m.messages + s.n, unseen = m.unseen + s.unseen, size_bytes = m.size_bytes + s.bytes
  from (
    select mailbox_id, max(uid) as uid, max(modseq) as modseq, count(*) as n,
           count(*) filter (where flags & 1 = 0) as unseen, sum(size_bytes) as bytes
    from added group by mailbox_id
  ) s
  where m.id = s.mailbox_id;
  update accounts a set used_bytes = a.used_bytes + s.bytes, used_messages = a.used_messages + s.n
  from (
    select m.account_id, count(*) as n, sum(e.size_bytes) as bytes
    from added e join mailboxes m on m.id = e.mailbox_id group by m.account_id
  ) s
  where a.id = s.account_id;
  return null;
end $$;
create trigger entries_added after insert on entries
  referencing new table as added for each statement execute function entries_added();

create function entries_removed() returns trigger language plpgsql as $$
begin
  -- Each expunge is a change of its own: it gets the next MODSEQ, in UID order.
  insert into expunged (mailbox_id, uid, modseq, message_id)
  select r.mailbox_id, r.uid, m.highest_modseq + row_number() over (partition by r.mailbox_id order by r.uid), r.message_id
  from removed r join mailboxes m on m.id = r.mailbox_id;
  update accounts a set used_bytes = a.used_bytes - s.bytes, used_messages = a.used_messages - s.n
  from (
    select m.account_id, count(*) as n, sum(r.size_bytes) as bytes
    from removed r join mailboxes m on m.id = r.mailbox_id group by m.account_id
  ) s
  where a.id = s.account_id;
  update mailboxes m set
    highest_modseq = m.highest_modseq + s.n,
    messages = m.messages - s.n, unseen = m.unseen - s.unseen, size_bytes = m.size_bytes - s.bytes
  from (
    select mailbox_id, count(*) as n, count(*) filter (where flags & 1 = 0) as unseen, sum(size_bytes) as bytes
    from removed group by mailbox_id
  ) s
  where m.id = s.mailbox_id;
  -- The last reference is gone from now on, not earlier. In digest order, as deliveries lock them.
  perform 1 from blobs where digest in (
    select g.blob_digest from removed r join messages g on g.message_id = r.message_id
  ) order by digest for no key update;
  update blobs b set touched_at = now()
  from removed r join messages g on g.message_id = r.message_id
  where b.digest = g.blob_digest;
  return null;
end $$;
create trigger entries_removed after delete on entries
  referencing old table as removed for each statement execute function entries_removed();

create function entries_guard() returns trigger language plpgsql as $$
begin
  if new.mailbox_id <> old.mailbox_id or new.uid <> old.uid or new.message_id <> old.message_id
     or new.prefix <> old.prefix or new.size_bytes <> old.size_bytes or new.internal_date <> old.internal_date then
    raise exception 'entry %/% is immutable but for flags, keywords, metadata and MODSEQ', old.mailbox_id, old.uid
      using errcode = 'integrity_constraint_violation';
  end if;
  if new.modseq <= old.modseq then
    raise exception 'a change of entry %/% needs a higher MODSEQ', old.mailbox_id, old.uid using errcode = 'integrity_constraint_violation';
  end if;
  return new;
end $$;
create trigger entries_guard before update on entries for each row execute function entries_guard();

create function entries_changed() returns trigger language plpgsql as $$
begin
  if exists (select 1 from after_rows a join mailboxes m on m.id = a.mailbox_id where a.modseq <= m.highest_modseq) then
    raise exception 'a changed entry needs a MODSEQ above HIGHESTMODSEQ' using errcode = 'integrity_constraint_violation';
  end if;
  update mailboxes m set highest_modseq = s.modseq, unseen = m.unseen + s.unseen - o.unseen
  from (
    select mailbox_id, max(modseq) as modseq, count(*) filter (where flags & 1 = 0) as unseen from after_rows group by mailbox_id
  ) s
  join (
    select mailbox_id, count(*) filter (where flags & 1 = 0) as unseen from before_rows group by mailbox_id
  ) o using (mailbox_id)
  where m.id = s.mailbox_id;
  return null;
end $$;
create trigger entries_changed after update on entries
  referencing old table as before_rows new table as after_rows for each statement execute function entries_changed();

-- ---------------------------------------------------------------- storing a batch

-- Everything one batch of deliveries writes, as one statement: one round trip, and no moment at which half of it could stay.
--
-- m_*: one element per message. t_*: one element per mailbox entry wanted; t_message is the place of its message in m_*, t_once says
-- whether the same delivery is recognised again; t_uid the UID it must get (import), null: the next one. m_follow_up: kind of the job
-- that a message leaves when it is stored, null: none; the whole array is null when no message wants one. Answers one row per t_*, in order:
--   stored (mailbox_id, mailbox, uid), duplicate (stored_as), over_quota, gone (no such account, or mailbox with t_missing = 'fail').
--
-- Locks are taken in one order, accounts by id and then mailboxes by id, so two nodes never deadlock; what is read after them is
-- read by statements of their own, whose snapshots are younger than the locks. Raises MRBOX when a mailbox has to be made first,
-- MRBLB when the collector may have removed a blob's file since it was written (src/store/blob-gc.ts).
create function store_deliveries(
  window_s float8, lock_ms integer, make_missing boolean, decided_at timestamptz,
  m_id uuid[], m_digest bytea[], m_size bigint[], m_stored bigint[], m_codec text[], m_header_bytes integer[], m_structure bytea[],
  m_header bytea[], m_message_id_header text[], m_subject text[], m_from text[], m_thread text[], m_attachments integer[],
  m_queue text[], m_mail_from text[], m_received timestamptz[], m_events jsonb[], m_follow_up text[], follow_up_attempts integer,
  t_message integer[], t_account bigint[], t_recipient text[], t_mailbox text[], t_missing text[], t_flags smallint[],
  t_keywords text[], t_date timestamptz[], t_prefix bytea[], t_metadata jsonb[], t_once boolean[], t_uid bigint[]
) returns table (outcome text, mailbox_id bigint, mailbox text, uid bigint, stored_as uuid) language plpgsql
-- Arrays are read by subscript: inside of plpgsql that is one look, and unnest() of many arrays at once prepares each of them anew.
-- Every statement below goes by an index, and planning them anew costs as much as running them. A plan made once must be the right
-- one for an empty table and for a full one.
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
#variable_conflict use_column
declare
  n constant integer := cardinality(t_message);
  -- the locked mailboxes, with their accounts: an account's figures count at its first place
  box_account bigint[]; box_used bigint[]; box_quota bigint[];
  box_id bigint[]; box_name text[]; box_key text[]; box_uid bigint[]; box_modseq bigint[];
  -- how many redelivery keys were free; when not all of them: who holds the key of each target
  claimed integer := 0; owner uuid[];
  -- what becomes of each target
  -- (filled first: an array that begins with its second element has no first one)
  o_kind text[] := array_fill(null::text, array[n]);
  o_box integer[] := array_fill(null::integer, array[n]);
  o_uid bigint[] := array_fill(null::bigint, array[n]);
  o_modseq bigint[] := array_fill(null::bigint, array[n]);
  o_as uuid[] := array_fill(null::uuid, array[n]);
  -- per message: at least one target is stored
  m_stored_once boolean[] := array_fill(false, array[cardinality(m_id)]);
  account integer; box integer; size bigint; put integer;
begin
  perform set_config('lock_timeout', lock_ms::text, true);

  select array_agg(account_id), array_agg(used_bytes), array_agg(quota), array_agg(id), array_agg(name),
         array_agg(account_id || '/' || name), array_agg(uidnext), array_agg(highest_modseq)
    into box_account, box_used, box_quota, box_id, box_name, box_key, box_uid, box_modseq
  from (
    select m.account_id, a.used_bytes, coalesce(a.quota_bytes, d.quota_bytes) as quota, m.id, m.name, m.uidnext, m.highest_modseq
    from accounts a join domains d on d.name = a.domain join mailboxes m on m.account_id = a.id
    -- INBOX always exists: with it every account that is there gives a row.
    where a.id = any (t_account) and m.name = any (t_mailbox || 'INBOX'::text)
    order by a.id, m.id for no key update of a, m
  ) locked;

  if make_missing and exists (
    select from unnest(t_account, t_mailbox, t_missing) as t (account, mailbox, missing)
    where missing = 'create' and t.account = any (box_account) and not (t.account || '/' || t.mailbox = any (box_key))
  ) then
    raise exception 'a mailbox is missing' using errcode = 'MRBOX';
  end if;

  -- A key past the window no longer counts: queue ids come again (Postfix without long ids).
  if true = any (t_once) then
    insert into deliveries as k (queue_id, recipient, digest, message_id)
    select distinct on (q, r, d) q, r, d, m
    from (
      select i, m_queue[t_message[i]] as q, 'account:' || t_account[i] as r, m_digest[t_message[i]] as d, m_id[t_message[i]] as m
      from generate_series(1, n) i
      where t_once[i] and m_queue[t_message[i]] <> ''
    ) wanted
    order by q, r, d, i
    on conflict (queue_id, recipient, digest) do update set message_id = excluded.message_id, created_at = now()
      where k.created_at <= now() - make_interval(secs => window_s);
    get diagnostics claimed = row_count;
    -- Mostly every key was free. Else a statement of its own, which sees the keys of others that were waited for.
    if claimed < n then
      select array_agg(k.message_id order by i) into owner
      from generate_series(1, n) i
      left join deliveries k on t_once[i] and k.queue_id = m_queue[t_message[i]] and k.recipient = 'account:' || t_account[i]
        and k.digest = m_digest[t_message[i]];
    end if;
  end if;

  -- One after the other: what one takes of a quota the next does not have.
  for i in 1 .. n loop
    -- Cannot be: who holds the account's lock sees every key of the account. If it were, storing would be storing twice.
    if claimed < n and t_once[i] and m_queue[t_message[i]] <> '' and owner[i] is null then
      raise exception 'redelivery key of target % is taken by nobody that can be seen', i using errcode = 'internal_error';
    end if;
    if owner[i] <> m_id[t_message[i]] then
      o_kind[i] := 'duplicate';
      o_as[i] := owner[i];
      -- The same delivery twice in one batch: when the first was not stored, the second is not "already stored" either.
      for earlier in 1 .. i - 1 loop
        if m_id[t_message[earlier]] = owner[i] and t_account[earlier] = t_account[i] then
          if o_kind[earlier] <> 'stored' then o_kind[i] := o_kind[earlier]; end if;
          exit;
        end if;
      end loop;
      continue;
    end if;
    account := array_position(box_account, t_account[i]);
    box := array_position(box_key, t_account[i] || '/' || t_mailbox[i]);
    if box is null and t_missing[i] <> 'fail' then
      box := array_position(box_key, t_account[i] || '/INBOX');
    end if;
    if box is null then
      o_kind[i] := 'gone';
      continue;
    end if;
    size := m_size[t_message[i]] + octet_length(t_prefix[i]);
    if box_quota[account] > 0 and box_used[account] + size > box_quota[account] then
      o_kind[i] := 'over_quota';
      continue;
    end if;
    box_used[account] := box_used[account] + size;
    box_modseq[box] := box_modseq[box] + 1;
    o_kind[i] := 'stored';
    o_box[i] := box;
    o_uid[i] := coalesce(t_uid[i], box_uid[box]);
    o_modseq[i] := box_modseq[box];
    m_stored_once[t_message[i]] := true;
    if o_uid[i] < box_uid[box] then
      raise exception 'UID % is not free any more', o_uid[i] using errcode = 'integrity_constraint_violation';
    end if;
    box_uid[box] := o_uid[i] + 1;
  end loop;

  if 'stored' = any (o_kind) then
    -- In digest order: two nodes that store the same blobs lock them alike.
    insert into blobs as k (digest, size_bytes, stored_bytes, codec)
    select distinct on (d) d, s, b, c
    from (
      select m_digest[i] as d, m_size[i] as s, m_stored[i] as b, m_codec[i] as c
      from generate_series(1, cardinality(m_id)) i where m_stored_once[i]
    ) wanted
    order by d
    on conflict (digest) do update
      set touched_at = now(), stored_bytes = excluded.stored_bytes, codec = excluded.codec
      where k.claimed_at is null;
    get diagnostics put = row_count;
    if put < cardinality(m_id) and put < (
      select count(distinct m_digest[i]) from generate_series(1, cardinality(m_id)) i where m_stored_once[i]
    ) then
      raise exception 'the collector has claimed a blob' using errcode = 'MRBLB';
    end if;

    insert into messages (message_id, blob_digest, size_bytes, header_bytes, structure, header, message_id_header, subject, from_text,
                          thread_key, attachments, queue_id, mail_from, received_at)
    select m_id[i], m_digest[i], m_size[i], m_header_bytes[i], m_structure[i], m_header[i], m_message_id_header[i], m_subject[i],
           m_from[i], m_thread[i], m_attachments[i], m_queue[i], m_mail_from[i], m_received[i]
    from generate_series(1, cardinality(m_id)) i
    where m_stored_once[i] on conflict (message_id) do nothing; -- a held message has its row already

    insert into entries (mailbox_id, uid, modseq, message_id, flags, keywords, internal_date, prefix, size_bytes, metadata)
    select box_id[o_box[i]], o_uid[i], o_modseq[i], m_id[t_message[i]], t_flags[i], t_keywords[i]::text[], t_date[i], t_prefix[i],
           m_size[t_message[i]] + octet_length(t_prefix[i]), t_metadata[i]
    from generate_series(1, n) i
    where o_uid[i] is not null;

    if m_follow_up is not null then
      insert into jobs (kind, message_id, max_attempts)
      select m_follow_up[i], m_id[i], follow_up_attempts
      from generate_series(1, cardinality(m_id)) i
      where m_stored_once[i] and m_follow_up[i] is not null;
    end if;
  end if;

  -- A target that was claimed and then not stored must not look delivered next time.
  if 'over_quota' = any (o_kind) or 'gone' = any (o_kind) then
    delete from deliveries k using unnest(t_message, t_account, o_kind) as t (message, account, kind)
    where t.kind in ('over_quota', 'gone')
      and k.queue_id = m_queue[t.message] and k.recipient = 'account:' || t.account and k.message_id = m_id[t.message];
  end if;

  insert into events (message_id, queue_id, at, list)
  select m_id[message], m_queue[message], decided_at, m_events[message] || list
  from (
    select t_message[i] as message, jsonb_agg(
      jsonb_build_object('at', decided_at, 'recipient', t_recipient[i]) || case o_kind[i]
        when 'stored' then jsonb_build_object('kind', o_kind[i], 'data', jsonb_build_object('mailbox', box_name[o_box[i]], 'uid', o_uid[i]))
        when 'duplicate' then jsonb_build_object('kind', o_kind[i], 'data', jsonb_build_object('stored_as', o_as[i]))
        else jsonb_build_object('kind', 'deferred', 'data', jsonb_build_object('reason', o_kind[i]))
      end order by i) as list
    from generate_series(1, n) i
    group by t_message[i]
  ) outcomes;

  return query
    select o_kind[i], box_id[o_box[i]], box_name[o_box[i]], o_uid[i], o_as[i] from generate_series(1, n) i;
end $$;
