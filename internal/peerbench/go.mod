module github.com/flowhook/flowhook/internal/peerbench

go 1.25.0

require (
	github.com/flowhook/flowhook v0.0.0
	github.com/gorilla/sessions v1.4.0
	github.com/pocketbase/pocketbase v0.39.11
)

require (
	github.com/golang-jwt/jwt/v5 v5.3.1 // indirect
	github.com/gorilla/securecookie v1.1.2 // indirect
	github.com/spf13/cast v1.10.0 // indirect
	gopkg.in/yaml.v3 v3.0.1 // indirect
)

replace github.com/flowhook/flowhook => ../..
