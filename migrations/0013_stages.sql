-- Stages of a migration, for each domain and for single accounts, and where mail goes on before stage `store`.

alter table domains
  -- next hop of the stages observe, hooks and mirror, as `relay.lmtp` is written
  add column relay_lmtp          text check (relay_lmtp <> ''),
  -- some account has a stage of its own: kept by the trigger below, so that most mail needs no look at its accounts
  add column has_account_stages  boolean not null default false;

-- null: the domain's
alter table accounts add column stage text check (stage in ('observe', 'hooks', 'mirror', 'store'));
create index accounts_staged on accounts (domain) where stage is not null;

create function domains_account_stages() returns trigger language plpgsql as $$
begin
  update domains d set has_account_stages = w.has
  from (select exists (select from accounts where domain = coalesce(new.domain, old.domain) and stage is not null) as has) w
  where d.name = coalesce(new.domain, old.domain) and d.has_account_stages <> w.has;
  return null;
end $$;
create trigger accounts_stage_changed after update of stage on accounts
  for each row when (old.stage is distinct from new.stage) execute function domains_account_stages();
create trigger accounts_stage_made after insert on accounts
  for each row when (new.stage is not null) execute function domains_account_stages();
create trigger accounts_stage_gone after delete on accounts
  for each row when (old.stage is not null) execute function domains_account_stages();
