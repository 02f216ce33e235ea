package webhook_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/flowhook/flowhook"
	"github.com/stretchr/testify/require"
)

// BenchmarkGate compares a gate, with a signature, with a bare call that sends the same body on a
// client with the same settings.
func BenchmarkGate(b *testing.B) {
	for protocol, change := range protocols {
		answering := func(s *httptest.Server) {
			s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				_, _ = io.Copy(io.Discard, req.Body)
				w.WriteHeader(http.StatusNoContent)
			})
		}
		r := receive(b, nil, append(change[:len(change):len(change)], answering)...)
		point := flowhook.Point{Flow: flowhook.Login, Phase: flowhook.BeforePersist, Strategy: flowhook.Password}
		b.Run("gate/"+protocol, func(b *testing.B) {
			p, err := flowhook.New(parse(b, loginFile("after", r.entry("mode: gate, secrets: ["+secretOne+"]"))),
				options(r.hooks(b)))
			require.NoError(b, err)
			b.ReportAllocs()
			for b.Loop() {
				_, err := p.Run(flowhook.NewContext(b.Context(), alice()), point.Flow, point.Phase, point.Strategy)
				if err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("bare/"+protocol, func(b *testing.B) {
			transport := r.Client().Transport.(*http.Transport).Clone()
			transport.TLSNextProto = nil
			transport.ForceAttemptHTTP2 = true
			client := &http.Client{Transport: transport}
			b.Cleanup(client.CloseIdleConnections)
			body := []byte(`{"flow":"login","phase":"before_persist","strategy":"password","time":"2026-07-01T10:00:00.123456789Z",` +
				`"identity":{"id":"alice","addresses":[{"via":"email","value":"alice@example.org","verified":true}]}}`)
			b.ReportAllocs()
			for b.Loop() {
				req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, r.URL+"/hook?key=in-url", bytes.NewReader(body))
				if err != nil {
					b.Fatal(err)
				}
				req.Header.Set("Content-Type", "application/json")
				res, err := client.Do(req)
				if err != nil {
					b.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
				if res.StatusCode != http.StatusNoContent {
					b.Fatal(fmt.Errorf("status %d", res.StatusCode))
				}
			}
		})
	}
}
