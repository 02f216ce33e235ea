// A message for a chat.
function(ctx)
  local name = ctx.identity.traits.name;
  {
    text: "New user: %s %s, login %03d" % [name.first, name.last, ctx.identity.traits.logins + 1],
    blocks: [],
    icon: {},
  }
