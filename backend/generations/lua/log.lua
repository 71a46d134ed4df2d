-- What every operation begins with. Times are seconds since the epoch.
--
-- KEYS[1]  P, "libri:{tag}": its hash tag keeps all keys of one flight key on one node
-- ARGV[1]  now; "" asks Redis, so that processes need no common clock
-- ARGV[2]  what tells this generation from others with the same tag
--
-- P:flight    STRING  the live generation that others may join
-- P:I:log     STREAM  <fence>-<seq>  e=<event>; <fence>-0 is where a fence begins: e=<the last id before it>
-- P:I:state   HASH    fence, lease (until then its writer counts as alive), wanted (until then it is followed), record,
--                     prepared (the end that stands), stopping, left (how many runs left), kept (once ended: until when)
-- P:I:runs    HASH    run -> "" while it follows, the last id it has seen once it left

local P, I, call = KEYS[1], ARGV[2], redis.call
local now = tonumber(ARGV[1])
if not now then
  local t = call('TIME')
  now = tonumber(t[1]) + tonumber(t[2]) / 1e6
end

local flight, log, state, runs = P .. ':flight', P .. ':' .. I .. ':log', P .. ':' .. I .. ':state', P .. ':' .. I .. ':runs'

local function text(number) return string.format('%.17g', number) end
local function get(field) return call('HGET', state, field) end
local function set(...) call('HSET', state, ...) end

local function is_there() return call('EXISTS', state, log) == 2 end

-- Nobody joins from now on.
local function shut()
  if call('GET', flight) == I then call('DEL', flight) end
end

local function last_id()
  local last = call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
  return last and last[1] or '0-0'
end

local function keep(ms)
  for _, key in ipairs({log, state, runs}) do call('PEXPIRE', key, ms) end
end

-- Wanted for so long from now at least.
local function want(seconds)
  if seconds and now + seconds > tonumber(get('wanted') or 0) then set('wanted', text(now + seconds)) end
end

-- Why a writer of this fence may not write, or nothing.
local function refusal(fence)
  if not is_there() then return 'gone' end
  if tonumber(get('fence')) ~= tonumber(fence) then return 'superseded' end
end
