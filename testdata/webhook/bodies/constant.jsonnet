// Not a function: ctx is ignored, as in Kratos.
{ event: 'ping', "at": null, on: true }
