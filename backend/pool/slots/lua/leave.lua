-- Give back a slot or a place.
-- ARGV[3..] ticket, seconds that a generation which came to its end held the slot, or ""
tick()
local t, held = ticket(ARGV[3]), tonumber(ARGV[4])
if not t or t.proc ~= proc then return done(0) end
if t.instance and held then
  local mean = tonumber(call('HGET', P .. ':mean', t.model) or '')
  call('HSET', P .. ':mean', t.model, text(mean and mean + MEAN_STEP * (held - mean) or held))
  if call('LPUSH', key('seen', t.model), text(held)) >= 2 * DURATIONS_KEPT then
    call('LTRIM', key('seen', t.model), 0, DURATIONS_KEPT - 1)
  end
  if t.expected > 0 then charge(t.flow, t.cost * (held / t.expected - 1)) end
end
drop(t)
return done(1)
