-- Reserve a key for a run that is being started, or reserve it anew; whose it is stands afterwards.
-- KEYS[1]  HASH  run, body: a digest of what was asked, kept: the run as it is stored, once it is started
-- ARGV     run, body, milliseconds until whoever starts it has to say so again
-- -> run, body and kept ("" while it is being started) of whose it is
if redis.call('TYPE', KEYS[1]).ok ~= 'hash' then redis.call('DEL', KEYS[1]) end
local run, body, kept = unpack(redis.call('HMGET', KEYS[1], 'run', 'body', 'kept'))
if not run or not body then
  run, body, kept = ARGV[1], ARGV[2], false
  redis.call('HSET', KEYS[1], 'run', run, 'body', body)
end
if run == ARGV[1] and not kept then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
return {run, body, kept or ''}
