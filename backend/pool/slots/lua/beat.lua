-- A sign of life. -> lost, or for each ticket of the process: ticket, instance or "", place or void reason
if not call('ZSCORE', P .. ':procs', proc) then return 'lost' end
call('ZADD', P .. ':procs', text(now + PROCESS_S), proc)
tick()
local told = {}
for _, id in ipairs(call('SMEMBERS', key('of', proc))) do
  local t = ticket(id)
  if not t then call('SREM', key('of', proc), id)
  elseif t.ending then told[#told + 1] = {id, '', t.ending}
  elseif t.instance then told[#told + 1] = {id, t.instance, text(t.tag)}
  else told[#told + 1] = {id, '', (call('ZRANK', key('queue', t.model), member(t)) or 0) + 1} end
end
return told
