-- Stages of a migration, for each domain and for single accounts, and where mail goes on before stage `store`.

alter table domains
  -- next hop of the stages observe, hooks and mirror, as `relay.lmtp` is written
  add column relay_lmtp          text check (relay_lmtp <> ''),
  -- a configuration file says so: commands do not change it
  add column relay_by_file       boolean not null default false,
  -- some address of it may be in another stage: an account with one of its own, an alias of another domain's account. Kept by the
  -- triggers below, so that most mail needs no look at its accounts
  add column has_account_stages  boolean not null default false,
  -- of stage and next hop: rises with each change
  add column stage_version       bigint not null default 1,
  add column stage_since         timestamptz not null default now(),
  -- as the audit log names them; '': its first value, nobody has changed it
  add column stage_by            text not null default '';
update domains set stage_since = created_at;

alter table accounts
  -- null: the domain's
  add column stage          text check (stage in ('observe', 'hooks', 'mirror', 'store')),
  add column stage_version  bigint not null default 1,
  -- null: it has always been the domain's
  add column stage_since    timestamptz,
  add column stage_by       text not null default '';
create index accounts_staged on accounts (domain) where stage is not null;

alter table aliases
  -- its account is in another domain, whose stage counts then
  add column elsewhere  boolean not null default false;
update aliases l set elsewhere = true from accounts a where a.id = l.account_id and a.domain <> l.domain;
create index aliases_elsewhere on aliases (domain) where elsewhere;
update domains d set has_account_stages = true where exists (select from aliases l where l.domain = d.name and l.elsewhere);

create function aliases_elsewhere() returns trigger language plpgsql as $$
begin
  new.elsewhere := exists (select from accounts a where a.id = new.account_id and a.domain <> new.domain);
  return new;
end $$;
create trigger aliases_elsewhere before insert on aliases for each row execute function aliases_elsewhere();

create function domains_account_stages() returns trigger language plpgsql as $$
declare
  d_name text := coalesce(new.domain, old.domain);
begin
  -- One after the other: each must see what the one before has committed, which the next statement does.
  perform from domains where name = d_name for no key update;
  update domains d set has_account_stages = w.has
  from (
    select exists (select from accounts where domain = d_name and stage is not null)
      or exists (select from aliases where domain = d_name and elsewhere) as has
  ) w
  where d.name = d_name and d.has_account_stages <> w.has;
  return null;
end $$;
create trigger accounts_stage_changed after update of stage on accounts
  for each row when (old.stage is distinct from new.stage) execute function domains_account_stages();
create trigger accounts_stage_made after insert on accounts
  for each row when (new.stage is not null) execute function domains_account_stages();
create trigger accounts_stage_gone after delete on accounts
  for each row when (old.stage is not null) execute function domains_account_stages();
create trigger aliases_elsewhere_made after insert on aliases
  for each row when (new.elsewhere) execute function domains_account_stages();
create trigger aliases_elsewhere_gone after delete on aliases
  for each row when (old.elsewhere) execute function domains_account_stages();
