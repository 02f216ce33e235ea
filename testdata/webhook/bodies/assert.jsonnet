// An assertion cancels, too, and any text that begins with the word.
function(ctx)
  assert std.objectHas(ctx, "identity") : "canceled: nobody is signed in";
  { id: ctx.identity.id }
