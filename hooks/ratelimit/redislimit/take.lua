-- GCRA: a key holds the time at which its bucket is full again, in seconds since 2017, as redis_rate
-- writes it. The scripts calculate in whole microseconds, which are exact.
local t = redis.call("TIME")
local now = (t[1] - 1483228800) * 1000000 + t[2]
local wait, empty, full = 0, 0, {}
for i, key in ipairs(KEYS) do
  local tries, every = ARGV[2 * i - 1], ARGV[2 * i]
  local at = redis.call("GET", key)
  at = at and math.floor(tonumber(at) * 1000000 + 0.5) or now
  full[i] = math.max(at, now) + every
  local over = full[i] - tries * every - now
  if over > wait then
    wait, empty = over, i
  end
end
if wait == 0 then
  for i, key in ipairs(KEYS) do
    redis.call("SET", key, string.format("%.6f", full[i] / 1000000), "PX", math.ceil((full[i] - now) / 1000))
  end
end
return {wait, empty}
