-- Let a waiting batch ticket wait as an interactive one. ARGV[3] ticket
tick()
local t = ticket(ARGV[3])
if not t or t.instance or t.ending or t.batch ~= '1' then return done(0) end
unqueue(t)
t.batch, t.tag = '0', math.min(t.tag, state.virtual or 0)
call('HSET', key('ticket', t.id), 'batch', '0', 'tag', text(t.tag))
enqueue(t)
return done(1)
