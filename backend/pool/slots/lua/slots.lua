-- What every operation begins with. The rules are those of table.py, with processes, claims and holds besides.
--
-- KEYS[1]  P, the common prefix; its hash tag keeps every key below on one node
-- ARGV[1]  now in seconds; "" asks Redis, so that processes need no common clock
-- ARGV[2]  the process that calls
--
-- P:rows        HASH  instance -> slots given out now        P:models:I  HASH  model -> 1 ready, 0 cold; "*" is any
-- P:held:I      ZSET  ticket on a slot of I, since when      P:queue:M   ZSET  <order>:<ticket> by tag
-- P:queued      HASH  model -> tickets waiting               P:ticket:T  HASH  a ticket
-- P:until       ZSET  ticket by the end of its patience      P:unclaimed ZSET  ticket by when its grant passes on
-- P:procs       ZSET  process by when it counts as dead      P:of:X      SET   tickets of process X
-- P:notices:X   LIST  grants and refusals for process X      P:live      HASH  flow -> its tickets
-- P:asking      HASH  flow -> those of them that wait
-- P:finish      ZSET  flow by the tag of its next ticket     P:state     HASH  what STATE names
-- P:mean        HASH  model -> running mean of slot-seconds  P:seen:M    LIST  latest slot-seconds, newest first
--
-- What Redis does here nobody else gets done: a script reads and writes what it needs once, and ends with `done`.

local P, call = KEYS[1], redis.call
local proc = ARGV[2]
local now = tonumber(ARGV[1])
if not now then
  local t = call('TIME')
  now = tonumber(t[1]) + tonumber(t[2]) / 1e6
end

local PRIOR_COST_S, MEAN_STEP, BATCH_WEIGHT, BATCH_LAG = 5.0, 0.1, 0.1, 10.0
local DURATIONS_KEPT, PER_FLOW = 128, 4
local CLAIM_S, PROCESS_S, OUTAGE_S = 0.5, 4.0, 2.5
local PAGE, ORDER_DIGITS = 16, 15

local function key(kind, name) return P .. ':' .. kind .. ':' .. name end
local function text(number) return string.format('%.17g', number) end

-- virtual time, number of the latest ticket, batch tickets that wait, time of the latest operation, of the next sweep,
-- until when nothing is given out, and how long that is to be the next time
local STATE = {'virtual', 'order', 'batch', 'seen', 'due', 'hold', 'hold_s'}
local state, written = {}, {}
for i, value in ipairs(call('HMGET', P .. ':state', unpack(STATE))) do
  written[i] = value
  state[STATE[i]] = tonumber(value)
end

local function done(answer)
  local set = {}
  for i, name in ipairs(STATE) do
    local value = state[name] and text(state[name]) or false
    if value ~= written[i] then
      if value then set[#set + 1], set[#set + 2] = name, value else call('HDEL', P .. ':state', name) end
    end
  end
  if #set > 0 then call('HSET', P .. ':state', unpack(set)) end
  return answer
end

-- At `at` something in `kind` may have to be ended.
local function ends(kind, id, at)
  call('ZADD', P .. ':' .. kind, text(at), id)
  if not state.due or at < state.due then state.due = at end
end

local function ticket(id)
  local flat, found = call('HGETALL', key('ticket', id)), {}
  if #flat == 0 then return nil end
  for i = 1, #flat, 2 do found[flat[i]] = flat[i + 1] end
  found.id = id
  for _, name in ipairs({'tag', 'expected', 'cost', 'since'}) do found[name] = tonumber(found[name]) end
  return found
end

local function ordinal(number) return string.format('%0' .. ORDER_DIGITS .. 'd', number) end
local function member(t) return t.order .. ':' .. t.id end

local function notify(t, what, detail)
  local list = key('notices', t.proc)
  call('RPUSH', list, cjson.encode({what, t.id, detail, text(t.tag)}))
  call('EXPIRE', list, 30)
end

local function tried(t_tried, instance)
  return t_tried ~= '' and string.find(t_tried, '\n' .. instance .. '\n', 1, true) ~= nil
end

local function answers(instance, model)
  local flags = call('HMGET', key('models', instance), model, '*')
  return flags[1] == '1' or flags[2] == '1'
end

local function capacity(instance) return tonumber(call('HGET', P .. ':rows', instance) or '0') end
local function free(instance) return capacity(instance) - call('ZCARD', key('held', instance)) end

-- Whether nothing is given out: Redis came back, and processes still tell what they hold.
local function holding() return state.hold ~= nil and now < state.hold end

-- Whether any instance could answer, perhaps after loading.
local function hope(model, t_tried)
  local rows = call('HGETALL', P .. ':rows')
  for i = 1, #rows, 2 do
    if tonumber(rows[i + 1]) > 0 and not tried(t_tried, rows[i]) then
      local flags = call('HMGET', key('models', rows[i]), model, '*')
      if flags[1] or flags[2] then return true end
    end
  end
  return false
end

-- The instance with the best share of free slots; of equal ones any: `random` is in [0, 1).
local function best(t, preferred, random)
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

-- Why a ticket for which no slot is free may not wait either; nil if it may. While nothing is given out nobody knows
-- yet which instances there are, so only the bounds count.
local function refused(t, limit)
  if not holding() and not hope(t.model, t.tried) then return 'none' end
  local waiting = 0
  for _, count in ipairs(call('HVALS', P .. ':queued')) do waiting = waiting + tonumber(count) end
  if waiting >= (t.batch == '1' and math.floor(limit / 2) or limit) then return 'full' end
  local own = tonumber(call('HGET', P .. ':asking', t.flow) or '0')
  if own >= math.max(1, math.floor(limit / PER_FLOW)) then return 'flow_full' end
end

-- When a newcomer's flow may be served again, in virtual time.
local function turn(t) return math.max(state.virtual or 0, tonumber(call('ZSCORE', P .. ':finish', t.flow) or '0')) end
-- How long it is thought to hold its slot.
local function expected_of(t) return tonumber(call('HGET', P .. ':mean', t.model) or PRIOR_COST_S) end

-- What lies before virtual time is as good as forgotten; a sign of life removes it.
local function charge(flow, cost)
  local finish = tonumber(call('ZSCORE', P .. ':finish', flow))
  if finish and finish > (state.virtual or -1) then call('ZADD', P .. ':finish', text(finish + cost), flow) end
end

local function enqueue(t)
  call('ZADD', key('queue', t.model), text(t.tag), member(t))
  call('HINCRBY', P .. ':queued', t.model, 1)
  call('HINCRBY', P .. ':asking', t.flow, 1)
  if t.batch == '1' then state.batch = (state.batch or 0) + 1 end
end

local function unqueue(t)
  if call('ZREM', key('queue', t.model), member(t)) == 0 then return end
  if call('HINCRBY', P .. ':queued', t.model, -1) == 0 then call('HDEL', P .. ':queued', t.model) end
  if call('HINCRBY', P .. ':asking', t.flow, -1) == 0 then call('HDEL', P .. ':asking', t.flow) end
  if t.batch == '1' then state.batch = state.batch - 1 end
end

local function advance(virtual)
  if virtual > (state.virtual or -1) then state.virtual = virtual end
end

local function hold(t, instance, since)
  call('ZADD', key('held', instance), text(since), t.id)
  advance(t.tag)
end

-- The first in the queue of a model who may have a slot of the instance.
local function first(model, instance)
  local from = 0
  while true do
    local page = call('ZRANGE', key('queue', model), from, from + PAGE - 1, 'WITHSCORES')
    if #page == 0 then return nil end
    for i = 1, #page, 2 do
      local id = string.sub(page[i], ORDER_DIGITS + 2)
      if not tried(call('HGET', key('ticket', id), 'tried') or '', instance) then
        return {id = id, tag = tonumber(page[i + 1]), order = page[i]}
      end
    end
    from = from + PAGE
  end
end

-- Give the free slots of an instance to the first who may have them.
local function fill(instance)
  if holding() then return end
  local models = {}
  for _, model in ipairs(call('HKEYS', P .. ':queued')) do
    if answers(instance, model) then models[#models + 1] = model end
  end
  local room = #models > 0 and free(instance) or 0
  while room > 0 do
    local best
    for _, model in ipairs(models) do
      local one = first(model, instance)
      if one and (not best or one.tag < best.tag or (one.tag == best.tag and one.order < best.order)) then
        best = one
      end
    end
    if not best then return end
    local t = ticket(best.id)
    unqueue(t)
    call('HSET', key('ticket', t.id), 'instance', instance, 'since', text(now))
    hold(t, instance, now)
    ends('unclaimed', t.id, now + CLAIM_S)
    notify(t, 'granted', instance)
    room = room - 1
  end
end

local function fill_all()
  for _, instance in ipairs(call('HKEYS', P .. ':rows')) do fill(instance) end
end

local function forget(t)
  call('DEL', key('ticket', t.id))
  call('ZREM', P .. ':until', t.id)
  call('ZREM', P .. ':unclaimed', t.id)
  call('SREM', key('of', t.proc), t.id)
  if call('HINCRBY', P .. ':live', t.flow, -1) <= 0 then call('HDEL', P .. ':live', t.flow) end
end

-- Take a ticket out of slot or queue; its slot goes to the next.
local function drop(t)
  local flows = call('HLEN', P .. ':live')
  forget(t)
  if t.ending then return end
  if t.instance then
    call('ZREM', key('held', t.instance), t.id)
    advance((state.virtual or 0) + t.expected / flows)
    fill(t.instance)
  else
    unqueue(t)
    charge(t.flow, -t.cost)
  end
end

local function void(t, why)
  unqueue(t)
  charge(t.flow, -t.cost)
  call('HSET', key('ticket', t.id), 'ending', why)
  ends('until', t.id, now + 30)
  notify(t, 'void', why)
end

local function void_hopeless()
  for _, model in ipairs(call('HKEYS', P .. ':queued')) do
    local plain = hope(model, '')
    for _, entry in ipairs(call('ZRANGE', key('queue', model), 0, -1)) do
      local id = string.sub(entry, ORDER_DIGITS + 2)
      local t_tried = call('HGET', key('ticket', id), 'tried') or ''
      if not plain or (t_tried ~= '' and not hope(model, t_tried)) then void(ticket(id), 'none') end
    end
  end
end

local function bury(dead)
  call('ZREM', P .. ':procs', dead)
  for _, id in ipairs(call('SMEMBERS', key('of', dead))) do
    local t = ticket(id)
    if t then drop(t) end
  end
  call('DEL', key('of', dead), key('notices', dead))
end

-- What time has ended: patience, grants nobody claimed, processes that fell silent.
local function sweep()
  for _, id in ipairs(call('ZRANGEBYSCORE', P .. ':until', '-inf', text(now))) do
    local t = ticket(id)
    if not t then call('ZREM', P .. ':until', id)
    elseif t.instance or t.ending then drop(t)
    else void(t, 'late') end
  end
  for _, id in ipairs(call('ZRANGEBYSCORE', P .. ':unclaimed', '-inf', text(now))) do
    local t = ticket(id)
    if t then drop(t) else call('ZREM', P .. ':unclaimed', id) end
  end
  for _, dead in ipairs(call('ZRANGEBYSCORE', P .. ':procs', '-inf', text(now))) do bury(dead) end
  state.due = nil
  for _, kind in ipairs({'until', 'unclaimed', 'procs'}) do
    local at = tonumber(call('ZRANGE', P .. ':' .. kind, 0, 0, 'WITHSCORES')[2])
    if at and (not state.due or at < state.due) then state.due = at end
  end
end

-- After a silence of everybody (Redis itself stood still) nobody is dead yet, and nothing is given out
-- until all have had time to say what they hold.
local function tick()
  if state.seen and now - state.seen > OUTAGE_S then
    for _, one in ipairs(call('ZRANGE', P .. ':procs', 0, -1)) do ends('procs', one, now + PROCESS_S) end
    for _, id in ipairs(call('ZRANGE', P .. ':unclaimed', 0, -1)) do ends('unclaimed', id, now + PROCESS_S) end
    state.hold = now + (state.hold_s or 0)
  end
  state.seen = now
  if holding() then return end
  if state.due and state.due <= now then sweep() end
  if state.hold then
    state.hold = nil
    fill_all()
    void_hopeless()
  end
end

local function is_known() return call('ZSCORE', P .. ':procs', proc) end
