// Package schematest compares the JSON Schema of the configuration with what the library loads. It
// needs a JSON Schema validator, so it is a module of its own.
package schematest
