-- Give back a key whose run did not start.
-- KEYS[1]  as in claim.lua   ARGV  run
if redis.call('TYPE', KEYS[1]).ok ~= 'hash' then return 0 end
local run, kept = unpack(redis.call('HMGET', KEYS[1], 'run', 'kept'))
if run == ARGV[1] and not kept then return redis.call('DEL', KEYS[1]) end
return 0
