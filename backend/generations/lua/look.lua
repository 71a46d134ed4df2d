-- How a generation stands; who follows it says so.
-- ARGV[3..] seconds that it is wanted for, or ""
-- -> {fence, seconds the lease lasts yet, "1" once its end is prepared or there, how many runs left, how many runs}
--    | nothing: gone
if not is_there() then return false end
local kept = tonumber(get('kept'))
if kept and kept <= now then return false end
if not kept then want(tonumber(ARGV[3])) end
local shut_now = (kept or get('prepared')) and '1' or ''
return {get('fence'), text(tonumber(get('lease')) - now), shut_now, tonumber(get('left') or 0), call('HLEN', runs)}
