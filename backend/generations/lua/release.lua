-- The writer gives it up.
-- ARGV[3..] fence  -> ok | superseded | gone
local why = refusal(ARGV[3])
if why then return why end
set('lease', text(now - 1))
return 'ok'
