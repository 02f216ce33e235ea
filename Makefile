# Everything needs Go and git; race needs a C compiler too.
MODULES := $(patsubst %/,%,$(dir $(shell git ls-files '*go.mod')))
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
PLATFORMS := windows/amd64 darwin/arm64 linux/386
TENTH :=

.PHONY: test oldest race fuzz bench lint mutation proof

# vet and all tests of all modules
test:
	@set -e; for m in $(MODULES); do echo "== $$m"; (cd $$m && go vet ./... && go test ./...); done

# the library's tests on the lowest Go that go.mod allows
oldest:
	GOTOOLCHAIN=go$$(go list -m -f '{{.GoVersion}}') go test ./...

race:
	@set -e; for m in $(MODULES); do echo "== $$m"; (cd $$m && go test -race ./...); done

# every fuzz target for 100 seconds
fuzz:
	go run ./internal/proof fuzz

# the figures of docs/performance.md, each against a peer in the same run
bench:
	cd internal/peerbench && go run .

# gofmt, vet, staticcheck and go mod tidy in all modules; vet of the library for other platforms
lint:
	@test -z "$$(gofmt -s -l .)" || { gofmt -s -l .; echo "gofmt -s would change these"; exit 1; }
	@set -e; for m in $(MODULES); do echo "== $$m"; (cd $$m && go vet ./... && go run $(STATICCHECK) ./... && go mod tidy -diff); done
	@set -e; for p in $(PLATFORMS); do echo "== vet for $$p"; GOOS=$${p%/*} GOARCH=$${p#*/} go vet ./...; done

# every operator of the run and of the stores changed, one at a time: some test has to notice
mutation:
	go run ./internal/mutation

# all that is claimed, at full count, in one table; TENTH=1 for a tenth of the repetitions
proof:
	go run ./internal/proof $(if $(TENTH),-tenth)
