// A string is a JSON string.
function(ctx) |||
  %s
  "quoted"
||| % ctx.request_method
