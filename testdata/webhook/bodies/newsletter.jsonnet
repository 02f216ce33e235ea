// Subscribes those who want it.
function(ctx)
  if ctx.identity.traits.newsletter then
    { email_address: ctx.identity.traits.email, status: "subscribed" }
  else
    error "cancel"
