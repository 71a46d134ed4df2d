-- A generation whose writer is dead, under a new fence.
--
-- A fence is larger than the one before and than the time in ms: Redis may come back with what it saved long ago, and
-- no fence is ever given out twice.
-- ARGV[3..] lease_s  -> {fence, record, prepared or ""} | nothing: it lives, has ended, or is gone
if not is_there() or get('kept') or tonumber(get('lease')) > now then return false end
local fence = string.format('%.0f', math.max(tonumber(get('fence')) + 1, math.floor(now * 1000)))
call('XADD', log, 'NOMKSTREAM', fence .. '-0', 'e', last_id())
set('fence', fence, 'lease', text(now + tonumber(ARGV[3])))
return {fence, get('record'), get('prepared') or ''}
