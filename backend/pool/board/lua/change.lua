-- KEYS[1] notes of a kind   ARGV name, the note as it was read, the note to put in its place; "" is no note
-- -> 1, or 0 when it is no longer what was read
local is = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if is ~= ARGV[2] then return 0 end
if ARGV[3] == '' then redis.call('HDEL', KEYS[1], ARGV[1]) else redis.call('HSET', KEYS[1], ARGV[1], ARGV[3]) end
return 1
