-- The writer lives; is it wanted?
-- ARGV[3..] fence, lease_s, seconds that it is wanted for (may be less than 0)
-- -> {go_on | stop | abandoned, how many runs, how many of them left, how long the log is} | {superseded | gone}
local why = refusal(ARGV[3])
if why then return {why} end
set('lease', text(now + tonumber(ARGV[4])))
want(tonumber(ARGV[5]))
local word = 'go_on'
if get('stopping') then
  word = 'stop'
elseif tonumber(get('wanted')) <= now then
  word = 'abandoned'
  shut()
end
return {word, call('HLEN', runs), tonumber(get('left') or 0), call('XLEN', log)}
