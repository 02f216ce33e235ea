// The addresses that are verified.
function(ctx) {
  emails: [a.value for a in ctx.identity.verifiable_addresses if a.via == "email" && a.verified],
  count: std.length(self.emails),
  share: self.count / std.length(ctx.identity.verifiable_addresses) > 0.5,
  half: self.count / 4,
}
