package jsonnet

// BodyWithin is Body with another time limit for an evaluation.
var BodyWithin = body
