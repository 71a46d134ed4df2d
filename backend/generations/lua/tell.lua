-- What Redis has forgotten, or was away for, its writer tells again; entries follow by themselves.
-- ARGV[3..] fence, its first fence, lease_s, wanted_s, record, prepared or "", "1" if to be stopped, ms to keep,
--           "1" if others may join it, "1" to begin the log anew, then each run
-- -> {the last id that is there, how long the log is} | {superseded}
local mine, known = tonumber(ARGV[3]), tonumber(get('fence') or -1)
if known > mine then return {'superseded'} end
if known < mine or ARGV[12] == '1' or call('EXISTS', log) == 0 then
  call('DEL', log)
  call('XADD', log, ARGV[4] .. '-0', 'e', '')
end
set('fence', ARGV[3], 'lease', text(now + tonumber(ARGV[5])), 'record', ARGV[7])
want(tonumber(ARGV[6]))
if ARGV[8] ~= '' then call('HSETNX', state, 'prepared', ARGV[8]) end
if ARGV[9] == '1' then set('stopping', 1) end
for n = 13, #ARGV do call('HSETNX', runs, ARGV[n], '') end
if ARGV[11] == '1' then call('SET', flight, I, 'NX', 'PX', ARGV[10]) end
keep(ARGV[10])
return {last_id(), call('XLEN', log)}
