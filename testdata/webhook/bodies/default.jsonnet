// A parameter with a default.
local event = "login";
function(ctx, version=2) { event: event, version: version, agent: ctx.request_headers["User-Agent"] }
