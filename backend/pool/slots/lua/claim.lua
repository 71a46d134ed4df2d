-- Confirm a grant. ARGV[3] ticket -> 1, or 0 when it has passed on
tick()
if call('ZREM', P .. ':unclaimed', ARGV[3]) == 1 then return done(1) end
return done(call('HEXISTS', key('ticket', ARGV[3]), 'instance'))
