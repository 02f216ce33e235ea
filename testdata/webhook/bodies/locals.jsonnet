// Locals of an object, a hidden field, and an object that extends another.
function(ctx) {
  local identity = ctx.identity,
  local domain(email) = std.split(std.asciiLower(email), "@")[1],

  base:: { type: "$registration", user: { id: identity.id } },
  event: self.base { user+: { domain: domain(identity.traits.email) }, status: "$succeeded" },
}
