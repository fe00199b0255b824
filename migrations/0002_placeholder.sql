-- local placeholder
select 1;
