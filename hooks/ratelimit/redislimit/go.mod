module github.com/flowhook/flowhook/hooks/ratelimit/redislimit

go 1.26.0

replace (
	github.com/flowhook/flowhook => ../../..
	github.com/flowhook/flowhook/hooks/ratelimit => ..
)

require (
	github.com/flowhook/flowhook v0.0.0
	github.com/flowhook/flowhook/hooks/ratelimit v0.0.0
	github.com/go-redis/redis_rate/v10 v10.0.1
	github.com/redis/go-redis/v9 v9.23.0
	github.com/stretchr/testify v1.12.1
)

require (
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/gorilla/securecookie v1.1.2 // indirect
	github.com/hashicorp/golang-lru/v2 v2.0.7 // indirect
	go.uber.org/atomic v1.12.0 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/sys v0.48.0 // indirect
	golang.org/x/time v0.15.0 // indirect
	gopkg.in/yaml.v3 v3.0.1 // indirect
)
