-- Shut the door, and keep an end unseen.
-- ARGV[3..] fence, end  -> {the end that stands, then each run that follows} | {superseded | gone}
local why = refusal(ARGV[3])
if why then return {why} end
call('HSETNX', state, 'prepared', ARGV[4])
shut()
local answer = {get('prepared')}
local all = call('HGETALL', runs)
for n = 1, #all, 2 do
  if all[n + 1] == '' then answer[#answer + 1] = all[n] end
end
return answer
