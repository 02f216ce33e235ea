// Webhookreceiver receives the requests of flowhook's web_hook: it verifies the signature, handles
// each message once, and answers in each way that the hook understands. Run it in the root of the
// repository, on a machine without other users. The service that calls it needs the same secret, so
// export it, and start both programs with it:
//
//	export WEBHOOK_SECRET=whsec_$(openssl rand -base64 32)
//	go -C examples/webhookreceiver run .
//
// In the file of that service, write secrets: ["${WEBHOOK_SECRET}"]. The receiver serves plain http,
// so set webhook.Options.Insecure there, and Allow to 127.0.0.0/8. The path decides how it answers:
//
//	/allow        204: the flow goes on
//	/refuse       403, with a code and a text for the user
//	/messages     400, with the messages that Kratos expects
//	/identity     200, with an identity for response.parse
//	/unavailable  503, with Retry-After
//	/redirect     303, which is a failure
//	/late         204, when the caller has given up
//	/huge         200, with more than the hook reads
package main

import (
	"cmp"
	"errors"
	"log"
	"net/http"
	"os"
	"time"
)

func main() {
	receiver, err := newReceiver(os.Getenv("WEBHOOK_SECRET"), func(id string, m message) error {
		log.Printf("%s: %s at %s by %s", id, m.Flow, m.Phase, cmp.Or(m.Identity.ID, "an unknown user"))
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	addr := cmp.Or(os.Getenv("ADDR"), "127.0.0.1:8085")
	log.Printf("receiving at http://%s/allow", addr)
	srv := &http.Server{Addr: addr, Handler: receiver, ReadTimeout: 10 * time.Second}
	if err := srv.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
}
