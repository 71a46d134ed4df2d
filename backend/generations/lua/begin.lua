-- A new generation, or the live one that others may join.
-- ARGV[3..] "1" if others may join it, run, record, lease_s, wanted_s, ms to keep
-- -> the generation
if ARGV[3] == '1' then
  local live = call('GET', flight)
  if live then
    local there = P .. ':' .. live
    if call('EXISTS', there .. ':state', there .. ':log') == 2 then
      call('HSET', there .. ':runs', ARGV[4], '')
      call('HSET', there .. ':state', 'wanted', text(now + tonumber(ARGV[7])))
      return live
    end
  end
end
call('XADD', log, '1-0', 'e', '')
set('fence', 1, 'lease', text(now + tonumber(ARGV[6])), 'wanted', text(now + tonumber(ARGV[7])), 'record', ARGV[5])
call('HSET', runs, ARGV[4], '')
if ARGV[3] == '1' then call('SET', flight, I, 'PX', ARGV[8]) end
keep(ARGV[8])
return I
