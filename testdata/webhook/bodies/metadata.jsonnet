// metadata_public may be null.
function(ctx) {
  plan: if ctx.identity.metadata_public != null && "plan" in ctx.identity.metadata_public then
    ctx.identity.metadata_public.plan
  else "free",
}
