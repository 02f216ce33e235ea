# All targets need Go and git; race also needs a C compiler. FLOWHOOK_REPEAT, a percentage, scales
# what tests repeat: make race FLOWHOOK_REPEAT=100.
MODULES := $(patsubst %/,%,$(dir $(shell git ls-files '*go.mod')))
FUZZ_TARGETS := $(shell git grep -oE '^func Fuzz[A-Za-z0-9_]+' -- '*_test.go' | sed 's/func //')
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
PLATFORMS := windows/amd64 darwin/arm64 linux/386
FUZZTIME := 500000x
TESTFLAGS :=
BENCHFLAGS :=
MUTATE :=

.PHONY: test oldest race fuzz bench lint mutation

# vet and all tests of all modules
test:
	@set -e; for m in $(MODULES); do echo "== $$m"; (cd $$m && go vet ./... && go test $(TESTFLAGS) ./...); done

# the library's tests on the lowest Go that go.mod allows
oldest:
	GOTOOLCHAIN=go$$(go list -m -f '{{.GoVersion}}') go test ./...

race:
	@set -e; for m in $(MODULES); do echo "== $$m"; (cd $$m && go test -race -timeout=30m $(TESTFLAGS) ./...); done

# every fuzz target for FUZZTIME inputs; a count, because when a time limit ends, the fuzzer may
# report that as a failure
fuzz:
	@set -e; for f in $(FUZZ_TARGETS); do echo "== $$f"; \
		(cd $$(dirname $$f) && go test -run='^$$' -fuzz="^$${f##*:}\$$" -fuzztime=$(FUZZTIME) .); done

# the tables of docs/performance.md; BENCHFLAGS=-write writes them there, -quick measures less
bench:
	go -C tools run ./bench $(BENCHFLAGS)

# gofmt, vet, staticcheck and go mod tidy in all modules; vet of the library for other platforms.
# Only internal/testkit and examples/authservice/machine_test.go may call Skip: under
# FLOWHOOK_NO_SKIP they fail the test.
lint:
	@test -z "$$(gofmt -s -l .)" || { gofmt -s -l .; echo "gofmt -s would change these"; exit 1; }
	@! git grep -nE '\.Skip(f|Now)?\(' -- '*.go' ':!internal/testkit' ':!examples/authservice/machine_test.go' || { echo "call testkit.Missing instead"; exit 1; }
	@set -e; for m in $(MODULES); do echo "== $$m"; (cd $$m && go vet ./... && go run $(STATICCHECK) ./... && go mod tidy -diff); done
	@set -e; for p in $(PLATFORMS); do echo "== vet for $$p"; GOOS=$${p%/*} GOARCH=$${p#*/} go vet ./...; done

# changes every operator of the library and of the stores, one at a time: some test must fail;
# MUTATE="session.go internal/stage" changes only these; MUTATE="-statements -sample 60 store/sqlstore"
# changes statements
mutation:
	go -C tools run ./mutation $(MUTATE)
