-- Add, change or remove an instance.
-- ARGV[3..] instance, its slots or "" to remove it, then model and "1" ready or "0" cold, as often as there are
if not is_known() then return done('lost') end
tick()
local instance = ARGV[3]
call('DEL', key('models', instance))
if ARGV[4] == '' then
  call('HDEL', P .. ':rows', instance)
else
  call('HSET', P .. ':rows', instance, ARGV[4])
  for i = 5, #ARGV, 2 do call('HSET', key('models', instance), ARGV[i], ARGV[i + 1]) end
  fill(instance)
end
if not holding() then void_hopeless() end
return done('put')
