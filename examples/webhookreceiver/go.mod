module github.com/flowhook/flowhook/examples/webhookreceiver

go 1.26.0

replace github.com/flowhook/flowhook => ../..

replace github.com/flowhook/flowhook/hooks/webhook => ../../hooks/webhook

require (
	github.com/flowhook/flowhook v0.0.0
	github.com/flowhook/flowhook/hooks/webhook v0.0.0
	github.com/standard-webhooks/standard-webhooks/libraries v0.0.1
	github.com/stretchr/testify v1.12.1
)

require (
	code.dny.dev/ssrf v0.3.0 // indirect
	github.com/cenkalti/backoff/v5 v5.0.3 // indirect
	github.com/gorilla/securecookie v1.1.2 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/net v0.62.0 // indirect
	golang.org/x/text v0.43.0 // indirect
	gopkg.in/yaml.v3 v3.0.1 // indirect
)
