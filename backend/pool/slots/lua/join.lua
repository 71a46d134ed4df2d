-- Take a slot or a place.
-- ARGV[3..] ticket, model, flow, "1" for batch, weight, patience_s, tried ("" or "\nA\nB\n"), tag or "", queue limit,
--           a random number in [0, 1), then instance and its weight, as often as there are
-- -> granted I tag | queued position tag | full | flow_full | none | lost (call restore first)
if not call('ZSCORE', P .. ':procs', proc) then return {'lost'} end
tick()

local t = {id = ARGV[3], model = ARGV[4], flow = ARGV[5], batch = ARGV[6], tried = ARGV[9], proc = proc}
local weight, patience, tag, limit, random = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[10]), tonumber(ARGV[11]), tonumber(ARGV[12])
local preferred = {}
for i = 13, #ARGV, 2 do preferred[ARGV[i]] = tonumber(ARGV[i + 1]) end

local function best()
  if holding() then return nil end
  local names = call('HKEYS', P .. ':rows')
  table.sort(names)
  local top, ties = 0, {}
  for _, name in ipairs(names) do
    local open = free(name)
    if open > 0 and not tried(t.tried, name) and answers(name, t.model) then
      local score = (preferred[name] or 1) * open / capacity(name)
      if score > top then top, ties = score, {name}
      elseif score == top then table.insert(ties, name) end
    end
  end
  return ties[math.floor(random * #ties) + 1]
end

if not hope(t.model, t.tried) and not holding() then return {'none'} end
local instance = best()
if not instance then
  local waiting = 0
  for _, count in ipairs(call('HVALS', P .. ':queued')) do waiting = waiting + tonumber(count) end
  if waiting >= (t.batch == '1' and math.floor(limit / 2) or limit) then return {'full'} end
  local own = tonumber(call('HGET', P .. ':asking', t.flow) or '0')
  if own >= math.max(1, math.floor(limit / PER_FLOW)) then return {'flow_full'} end
end

local expected, order = 0, 0
if not tag then
  order = call('HINCRBY', P .. ':state', 'order', 1)
  expected = tonumber(call('HGET', P .. ':mean', t.model) or PRIOR_COST_S)
  tag = math.max(state('virtual') or 0, tonumber(call('ZSCORE', P .. ':finish', t.flow) or '0'))
end
local cost = expected / (weight * (t.batch == '1' and BATCH_WEIGHT or 1))
if cost > 0 then call('ZADD', P .. ':finish', text(tag + cost), t.flow) end
if t.batch == '1' then tag = tag + BATCH_LAG * expected end
t.tag, t.expected, t.cost = tag, expected, cost
t.order = string.format('%0' .. ORDER_DIGITS .. 'd', order)

call('HSET', key('ticket', t.id), 'model', t.model, 'flow', t.flow, 'batch', t.batch, 'tried', t.tried, 'proc', proc,
  'tag', text(tag), 'expected', text(expected), 'cost', text(cost), 'since', text(now), 'until', text(now + patience),
  'order', t.order)
call('ZADD', P .. ':until', text(now + patience), t.id)
call('SADD', key('of', proc), t.id)
call('HINCRBY', P .. ':live', t.flow, 1)
if instance then
  seat(t, instance)
  return {'granted', instance, text(tag)}
end
enqueue(t)
return {'queued', call('ZRANK', key('queue', t.model), member(t)) + 1, text(tag)}
