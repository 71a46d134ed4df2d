-- Join the processes, with all that this one holds: at its start, and after Redis has forgotten it.
-- Who waited before comes before whoever joins from now on, the longest first.
-- ARGV[3] JSON {hold_s, rows: {instance: {capacity, models: {model: "1" | "0"}}},
--               tickets: [{id, model, flow, batch, tried, tag, expected, cost, since_s, left_s, instance | null}]}
local given = cjson.decode(ARGV[3])
if not state.hold_s and #given.tickets > 0 then state.hold = now + given.hold_s end
state.hold_s, state.order = given.hold_s, state.order or 1000000
ends('procs', proc, now + PROCESS_S)
tick()
for instance, row in pairs(given.rows) do
  if call('HEXISTS', P .. ':rows', instance) == 0 or call('EXISTS', key('models', instance)) == 0 then
    call('HSET', P .. ':rows', instance, row.capacity)
    for model, flag in pairs(row.models) do call('HSET', key('models', instance), model, flag) end
  end
end
for _, t in ipairs(given.tickets) do
  if call('EXISTS', key('ticket', t.id)) == 0 then
    t.proc = proc
    t.order = ordinal(math.max(0, 1000000 - math.floor(t.since_s * 100)))
    call('HSET', key('ticket', t.id), 'model', t.model, 'flow', t.flow, 'batch', t.batch, 'tried', t.tried, 'proc', proc,
      'tag', text(t.tag), 'expected', text(t.expected), 'cost', text(t.cost), 'since', text(now - t.since_s),
      'order', t.order)
    ends('until', t.id, now + t.left_s)
    call('SADD', key('of', proc), t.id)
    call('HINCRBY', P .. ':live', t.flow, 1)
    if t.instance ~= cjson.null and t.instance then
      call('HSET', key('ticket', t.id), 'instance', t.instance)
      hold(t, t.instance, now - t.since_s)
    else
      enqueue(t)
    end
  end
end
if not holding() then fill_all() end
return done('known')
