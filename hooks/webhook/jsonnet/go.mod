module github.com/flowhook/flowhook/hooks/webhook/jsonnet

go 1.26.0

replace github.com/flowhook/flowhook => ../../..

replace github.com/flowhook/flowhook/hooks/webhook => ..

require (
	github.com/flowhook/flowhook v0.0.0
	github.com/flowhook/flowhook/hooks/webhook v0.0.0
	github.com/google/go-jsonnet v0.22.0
	github.com/stretchr/testify v1.12.1
	gopkg.in/yaml.v3 v3.0.1
)

require (
	code.dny.dev/ssrf v0.3.0 // indirect
	github.com/cenkalti/backoff/v5 v5.0.3 // indirect
	github.com/gorilla/securecookie v1.1.2 // indirect
	github.com/kr/pretty v0.1.0 // indirect
	github.com/standard-webhooks/standard-webhooks/libraries v0.0.1 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/net v0.62.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/text v0.43.0 // indirect
	gopkg.in/check.v1 v1.0.0-20180628173108-788fd7840127 // indirect
	sigs.k8s.io/yaml v1.4.0 // indirect
)
