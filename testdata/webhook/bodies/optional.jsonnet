// Optional parts of ctx: "in", null and a default.
function(ctx) {
  identity: if "identity" in ctx then ctx.identity.id else null,
  client_ip: if "True-Client-Ip" in ctx.request_headers then ctx.request_headers["True-Client-Ip"][0] else "",
  tenant: std.get(std.get(ctx.flow, "transient_payload", {}), "tenant", "none"),
}
