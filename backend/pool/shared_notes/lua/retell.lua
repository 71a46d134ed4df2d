-- Put all notes of a kind in the place of what Redis has, which has forgotten some.
-- KEYS[1] notes of a kind   ARGV the version as it was read ("" is none), the new version, then name and note, as
--                           often as there are
-- -> 1, or 0 when the version is no longer what was read
if (redis.call('HGET', KEYS[1], '') or '') ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], '', ARGV[2])
for i = 3, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
return 1
