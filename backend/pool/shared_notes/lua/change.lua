-- KEYS[1] notes of a kind   ARGV name, the note as it was read, the note to put in its place ("" is no note),
--                           the name of this board as it was read ("" if it had none), a name if it has none
-- The field without a name is the version: {"born": name of this board, "count": changes since}.
-- -> the new version, or "" when note or board is no longer what was read
local is = redis.call('HGET', KEYS[1], ARGV[1]) or ''
local said = redis.call('HGET', KEYS[1], '')
local ok, version = pcall(cjson.decode, said or '')
if not ok or type(version) ~= 'table' or type(version.born) ~= 'string' or type(version.count) ~= 'number' then
  version = {born = '', count = 0} -- none yet, or not one of ours
end
if is ~= ARGV[2] or version.born ~= ARGV[4] then return '' end
if version.born == '' then version.born = ARGV[5] end
version.count = version.count + 1
local new = cjson.encode(version)
if ARGV[3] == '' then redis.call('HDEL', KEYS[1], ARGV[1]) else redis.call('HSET', KEYS[1], ARGV[1], ARGV[3]) end
redis.call('HSET', KEYS[1], '', new)
return new
