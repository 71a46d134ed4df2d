-- The last entry.
-- ARGV[3..] fence, id, event, retention_s, ms to keep  -> ok | superseded | gone
local why = refusal(ARGV[3])
if why then return why end
call('XADD', log, 'NOMKSTREAM', ARGV[4], 'e', ARGV[5])
set('kept', text(now + tonumber(ARGV[6])))
call('HDEL', state, 'record')
shut()
keep(ARGV[7])
return 'ok'
