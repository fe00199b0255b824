-- Filled in by what builds it.
select 1;
