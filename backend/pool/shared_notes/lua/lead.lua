-- KEYS[1] a task   ARGV process, milliseconds -> 1 if the process leads it for so long, 0 if another does
local leader = redis.call('GET', KEYS[1])
if leader and leader ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
