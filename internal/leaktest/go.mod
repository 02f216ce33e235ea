module github.com/flowhook/flowhook/internal/leaktest

go 1.25.0

replace github.com/flowhook/flowhook => ../..

require (
	github.com/flowhook/flowhook v0.0.0
	go.uber.org/goleak v1.3.0
)

require (
	github.com/gorilla/securecookie v1.1.2 // indirect
	github.com/kr/text v0.2.0 // indirect
	gopkg.in/yaml.v3 v3.0.1 // indirect
)
