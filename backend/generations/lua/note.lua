-- ARGV[3..] fence, record  -> ok | superseded | gone
local why = refusal(ARGV[3])
if why then return why end
set('record', ARGV[4])
return 'ok'
