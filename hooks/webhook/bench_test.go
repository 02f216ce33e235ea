package webhook_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/flowhook/flowhook"
	"github.com/stretchr/testify/require"
)

// BenchmarkGate compares a gate, with a signature, with a bare call that sends the same body by a
// client with the same timeout. The two take turns, so that a busy machine slows both. The
// overhead is that of the median.
func BenchmarkGate(b *testing.B) {
	for protocol, change := range protocols {
		b.Run(protocol, func(b *testing.B) {
			r := receive(b, nil, append(change[:len(change):len(change)], func(s *httptest.Server) {
				s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
					_, _ = io.Copy(io.Discard, req.Body)
					w.WriteHeader(http.StatusNoContent)
				})
			})...)
			p, err := flowhook.New(parse(b, loginFile("after", r.entry("mode: gate, secrets: ["+secretOne+"]"))),
				options(r.hooks(b)))
			require.NoError(b, err)
			client := bareClient(b, r)
			var gate, bare []time.Duration
			for b.Loop() {
				begin := time.Now()
				err := call204(b.Context(), client, r.URL+"/hook?key=in-url")
				between := time.Now()
				_, gateErr := p.Run(flowhook.NewContext(b.Context(), alice()), flowhook.Login, flowhook.BeforePersist,
					flowhook.Password)
				end := time.Now()
				if err != nil || gateErr != nil {
					b.Fatal(err, gateErr)
				}
				bare, gate = append(bare, between.Sub(begin)), append(gate, end.Sub(between))
			}
			slices.Sort(bare)
			slices.Sort(gate)
			of, with := float64(bare[len(bare)/2]), float64(gate[len(gate)/2])
			b.ReportMetric(of, "bare-ns")
			b.ReportMetric(with, "gate-ns")
			b.ReportMetric(100*(with-of)/of, "%overhead")
		})
	}
}

// bareClient returns a client with connections of its own.
func bareClient(b *testing.B, r *receiver) *http.Client {
	transport := r.Client().Transport.(*http.Transport).Clone()
	transport.TLSNextProto, transport.ForceAttemptHTTP2 = nil, true
	client := &http.Client{Transport: transport, Timeout: 5 * time.Second}
	b.Cleanup(client.CloseIdleConnections)
	return client
}

// barePayload has the length of alice's.
var barePayload = []byte(`{"flow":"login","phase":"before_persist","strategy":"password",` +
	`"time":"2026-07-01T10:00:00.123456789Z","identity":{"id":"alice","addresses":` +
	`[{"via":"email","value":"alice@example.org","verified":true}]}}`)

// call204 makes a bare call.
func call204(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(barePayload))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return err
	}
	if res.StatusCode != http.StatusNoContent {
		return fmt.Errorf("status %d", res.StatusCode)
	}
	return nil
}
