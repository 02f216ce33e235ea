-- See take.lua. A bucket without a key is full, and so is one that is full by now.
local t = redis.call("TIME")
local now = (t[1] - 1483228800) * 1000000 + t[2]
for i, key in ipairs(KEYS) do
  local at = redis.call("GET", key)
  if at then
    local full = math.floor(tonumber(at) * 1000000 + 0.5) - ARGV[2 * i]
    if full > now then
      redis.call("SET", key, string.format("%.6f", full / 1000000), "PX", math.ceil((full - now) / 1000))
    else
      redis.call("DEL", key)
    end
  end
end
return 0
