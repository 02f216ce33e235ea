module github.com/flowhook/flowhook/hooks/ratelimit

go 1.26.0

replace github.com/flowhook/flowhook => ../..

require (
	github.com/flowhook/flowhook v0.0.0
	github.com/hashicorp/golang-lru/v2 v2.0.7
	github.com/stretchr/testify v1.12.1
	golang.org/x/time v0.15.0
)

require (
	github.com/gorilla/securecookie v1.1.2 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	gopkg.in/yaml.v3 v3.0.1 // indirect
)
