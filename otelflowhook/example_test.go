package otelflowhook_test

import (
	"context"
	"fmt"
	"log"
	"net/http/httptest"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/flowhook/flowhook"
	"github.com/flowhook/flowhook/otelflowhook"
	"github.com/flowhook/flowhook/store/memstore"
)

// If you have set the global providers of OpenTelemetry, pass the zero Options. This example keeps
// the spans and prints them.
func ExampleWrap() {
	spans := tracetest.NewInMemoryExporter()
	wrap, err := otelflowhook.Wrap(otelflowhook.Options{
		TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans)),
	})
	if err != nil {
		log.Fatal(err)
	}
	cfg, err := flowhook.ParseConfig([]byte(`
secrets:
  session:
    - only-for-this-example-0123456789
selfservice:
  login:
    after:
      hooks:
        - hook: redirect
          config:
            to: /news
      password:
        - hook: revoke_active_sessions
        - hook: session
`))
	if err != nil {
		log.Fatal(err)
	}
	pipeline, err := flowhook.New(cfg, flowhook.Options{Store: memstore.New(), Wrap: wrap})
	if err != nil {
		log.Fatal(err)
	}

	x := &flowhook.Exchange{Writer: httptest.NewRecorder(), Request: httptest.NewRequest("POST", "/login", nil),
		Identity: &flowhook.Identity{ID: "alice"}}
	ctx := flowhook.NewContext(context.Background(), x)
	if _, err := pipeline.Complete(ctx, flowhook.Login, flowhook.Password, nil); err != nil {
		log.Fatal(err)
	}
	for _, span := range spans.GetSpans() {
		set := attribute.NewSet(span.Attributes...)
		strategy, _ := set.Value("flowhook.strategy")
		outcome, _ := set.Value("flowhook.outcome")
		fmt.Println(span.Name, strategy.AsString(), outcome.AsString())
	}
	// Output:
	// hook revoke_active_sessions password passed
	// hook session password passed
	// hook redirect password answered
}
