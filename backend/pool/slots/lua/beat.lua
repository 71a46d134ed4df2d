-- A sign of life. -> lost, or for each ticket of the process: ticket, instance or "", place or void reason
if not is_known() then return done('lost') end
ends('procs', proc, now + PROCESS_S)
tick()
if state.virtual then call('ZREMRANGEBYSCORE', P .. ':finish', '-inf', text(state.virtual)) end
local told = {}
for _, id in ipairs(call('SMEMBERS', key('of', proc))) do
  local model, instance, ending, order = unpack(call('HMGET', key('ticket', id), 'model', 'instance', 'ending', 'order'))
  if not model then call('SREM', key('of', proc), id)
  elseif ending then told[#told + 1] = {id, '', ending}
  elseif instance then told[#told + 1] = {id, instance, ''}
  else told[#told + 1] = {id, '', (call('ZRANK', key('queue', model), order .. ':' .. id) or 0) + 1} end
end
return done(told)
