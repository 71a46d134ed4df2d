-- Take a slot or a place.
-- ARGV[3..] ticket, model, flow, "1" for batch, weight, patience_s, tried ("" or "\nA\nB\n"), tag or "", queue limit,
--           a random number in [0, 1), then instance and its weight, as often as there are
-- -> granted I tag | queued position tag | full | flow_full | none | lost (call restore first)
if not is_known() then return done({'lost'}) end
tick()

-- Told again with what its process holds, it may be here already.
local here = ticket(ARGV[3])
if here and here.ending then
  forget(here)
elseif here and here.instance then
  call('ZREM', P .. ':unclaimed', here.id)
  return done({'granted', here.instance, text(here.tag)})
elseif here then
  return done({'queued', call('ZRANK', key('queue', here.model), member(here)) + 1, text(here.tag)})
end

local t = {id = ARGV[3], model = ARGV[4], flow = ARGV[5], batch = ARGV[6], tried = ARGV[9], proc = proc}
local weight, patience, tag, limit, random = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[10]), tonumber(ARGV[11]), tonumber(ARGV[12])
local preferred = {}
for i = 13, #ARGV, 2 do preferred[ARGV[i]] = tonumber(ARGV[i + 1]) end

local instance = not holding() and best(t, preferred, random) or nil
if not instance then
  local refusal = refused(t, limit)
  if refusal then return done({refusal}) end
end

local expected, order = 0, 0
if not tag then
  state.order = (state.order or 0) + 1
  order = state.order
  expected = expected_of(t)
  tag = turn(t)
end
local cost = expected / (weight * (t.batch == '1' and BATCH_WEIGHT or 1))
if cost > 0 then call('ZADD', P .. ':finish', text(tag + cost), t.flow) end
if t.batch == '1' then tag = tag + BATCH_LAG * expected end
t.tag, t.order = tag, ordinal(order)

local fields = {'model', t.model, 'flow', t.flow, 'batch', t.batch, 'tried', t.tried, 'proc', proc, 'tag', text(tag),
  'expected', text(expected), 'cost', text(cost), 'since', text(now), 'order', t.order}
if instance then fields[#fields + 1], fields[#fields + 2] = 'instance', instance end
call('HSET', key('ticket', t.id), unpack(fields))
ends('until', t.id, now + patience)
call('SADD', key('of', proc), t.id)
call('HINCRBY', P .. ':live', t.flow, 1)
if instance then
  hold(t, instance, now)
  return done({'granted', instance, text(tag)})
end
enqueue(t)
return done({'queued', call('ZRANK', key('queue', t.model), member(t)) + 1, text(tag)})
