-- Runs that Redis has forgotten follow all the same.
-- ARGV[3..] each run
if is_there() then
  for n = 3, #ARGV do call('HSETNX', runs, ARGV[n], '') end
end
