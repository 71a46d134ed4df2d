-- The run that a key was reserved for is started; nothing happens where the key is another run's by now.
-- KEYS[1]  as in claim.lua
-- ARGV     run, body, the run as it is stored, milliseconds that it is kept
if redis.call('TYPE', KEYS[1]).ok ~= 'hash' then redis.call('DEL', KEYS[1]) end
local run = redis.call('HGET', KEYS[1], 'run')
if run and run ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'run', ARGV[1], 'body', ARGV[2], 'kept', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 1
