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

-- The instance with the best share of free slots; of equal ones any.
local function best()
  local rows, top, ties = call('HGETALL', P .. ':rows'), 0, {}
  for i = 1, #rows, 2 do
    local name, slots = rows[i], tonumber(rows[i + 1])
    local open = slots > 0 and not tried(t.tried, name) and slots - call('ZCARD', key('held', name)) or 0
    if open > 0 and answers(name, t.model) then
      local score = (preferred[name] or 1) * open / slots
      if score > top then top, ties = score, {name}
      elseif score == top then ties[#ties + 1] = name end
    end
  end
  table.sort(ties)
  return ties[math.floor(random * #ties) + 1]
end

local instance = not holding() and best() or nil
if not instance then
  if not holding() and not hope(t.model, t.tried) then return done({'none'}) end
  local waiting = 0
  for _, count in ipairs(call('HVALS', P .. ':queued')) do waiting = waiting + tonumber(count) end
  if waiting >= (t.batch == '1' and math.floor(limit / 2) or limit) then return done({'full'}) end
  local own = tonumber(call('HGET', P .. ':asking', t.flow) or '0')
  if own >= math.max(1, math.floor(limit / PER_FLOW)) then return done({'flow_full'}) end
end

local expected, order = 0, 0
if not tag then
  state.order = (state.order or 0) + 1
  order = state.order
  expected = tonumber(call('HGET', P .. ':mean', t.model) or PRIOR_COST_S)
  tag = math.max(state.virtual or 0, tonumber(call('ZSCORE', P .. ':finish', t.flow) or '0'))
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
