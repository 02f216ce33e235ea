// An event for an analytics service, which takes a list.
function(ctx) [
  {
    event: "user_registered",
    properties: {
      distinct_id: ctx.identity.id,
      [std.asciiUpper("plan")]: ctx.identity.metadata_public.plan,
      "$insert_id": ctx.flow.id + "-" + ctx.flow.type,
    },
  },
]
