module github.com/flowhook/flowhook/internal/whatwg

go 1.25.0

replace github.com/flowhook/flowhook => ../..

require (
	github.com/flowhook/flowhook v0.0.0-00010101000000-000000000000
	github.com/nlnwa/whatwg-url v0.6.2
	github.com/stretchr/testify v1.12.1
)

require (
	github.com/bits-and-blooms/bitset v1.20.0 // indirect
	github.com/gorilla/securecookie v1.1.2 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/net v0.34.0 // indirect
	golang.org/x/text v0.21.0 // indirect
	gopkg.in/yaml.v3 v3.0.1 // indirect
)
