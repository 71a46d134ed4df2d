-- What `join` would give a new ticket now; nothing is taken.
-- ARGV[3..] model, flow, "1" for batch, tried ("" or "\nA\nB\n"), queue limit
-- -> queued position (0: a slot) | full | flow_full | none | lost (call restore first)
if not is_known() then return done({'lost'}) end
tick()
local t, limit = {model = ARGV[3], flow = ARGV[4], batch = ARGV[5], tried = ARGV[6]}, tonumber(ARGV[7])
if not holding() and best(t, {}, 0) then return done({'queued', 0}) end
local refusal = refused(t, limit)
if refusal then return done({refusal}) end
local tag = turn(t) + (t.batch == '1' and BATCH_LAG * expected_of(t) or 0)
return done({'queued', call('ZCOUNT', key('queue', t.model), '-inf', text(tag)) + 1})
