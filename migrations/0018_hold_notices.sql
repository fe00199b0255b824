-- Who is told of held mail, and in which digest (store/hold-notices.ts).

-- nobody has looked yet who is to be told
alter table holds add column notice_due boolean not null default true;
create index holds_notice_due on holds (id) where notice_due and state in ('held', 'releasing');

-- one mail to one address: at most one an hour
create table hold_digests (
  id         uuid primary key,
  address    text not null,
  created_at timestamptz not null default now(),
  -- the outbox has it; what was made and is not there yet is queued again, under its id
  queued_at  timestamptz
);
create index hold_digests_address on hold_digests (address, created_at);
create index hold_digests_open on hold_digests (id) where queued_at is null;

create table hold_notices (
  hold_id uuid not null references holds (id) on delete cascade,
  address text not null,
  kind    text not null check (kind in ('held', 'expired')),
  -- owner: whose mail it is; approver: who may let it go
  role    text not null check (role in ('owner', 'approver')),
  -- the digest that tells it; null: none yet
  digest  uuid,
  primary key (hold_id, address, kind)
);
create index hold_notices_pending on hold_notices (address) where digest is null;
create index hold_notices_digest on hold_notices (digest) where digest is not null;
