-- A run stops.
-- ARGV[3..] run  -> 1: others still want it; 0: it was the last, and the writer is told; nothing: gone
if not is_there() then return false end
local all, others = call('HGETALL', runs), false
for n = 1, #all, 2 do others = others or (all[n] ~= ARGV[3] and all[n + 1] == '') end
if not others then
  set('stopping', 1)
  shut()
  return 0
end
if call('HGET', runs, ARGV[3]) == '' then
  call('HSET', runs, ARGV[3], last_id())
  call('HINCRBY', state, 'left', 1)
end
return 1
