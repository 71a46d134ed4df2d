-- Everything, as JSON; or lost.
if not is_known() then return done('lost') end
tick()
local view = {rows = {}, models = {}, held = {}, serving = {}, waiting = {}, oldest = {}, seen = {}, batch = state.batch or 0}
local rows = call('HGETALL', P .. ':rows')
for i = 1, #rows, 2 do
  view.rows[rows[i]] = tonumber(rows[i + 1])
  view.models[rows[i]] = call('HGETALL', key('models', rows[i]))
  local held, since, serving = call('ZRANGE', key('held', rows[i]), 0, -1, 'WITHSCORES'), {}, {}
  for j = 1, #held, 2 do
    since[#since + 1] = now - tonumber(held[j + 1])
    local model = call('HGET', key('ticket', held[j]), 'model')
    if model then serving[model] = (serving[model] or 0) + 1 end
  end
  view.held[rows[i]], view.serving[rows[i]] = since, serving
end
local queued = call('HGETALL', P .. ':queued')
for i = 1, #queued, 2 do
  view.waiting[queued[i]] = tonumber(queued[i + 1])
  local head = call('ZRANGE', key('queue', queued[i]), 0, 0)[1]
  local since = head and call('HGET', key('ticket', string.sub(head, ORDER_DIGITS + 2)), 'since')
  view.oldest[queued[i]] = since and now - tonumber(since) or 0
end
for _, model in ipairs(call('HKEYS', P .. ':mean')) do view.seen[model] = call('LRANGE', key('seen', model), 0, DURATIONS_KEPT - 1) end
view.processes = call('ZCARD', P .. ':procs')
return done(cjson.encode(view))
