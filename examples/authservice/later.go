package main

import (
	"context"
	"errors"
	"net/http"

	"github.com/flowhook/flowhook"
)

// recoveriesAtOnce is how many emails are queued at a time by later, so that they leave the
// connections to the requests.
const recoveriesAtOnce = 2

// later audits a request for an email of a flow to an address as typed, and calls send, which queues
// the email. Both happen after the request was answered. If they fail, that is logged, and the user
// asks again. If the database is down, later answers 503 instead, and returns false.
func (s *service) later(w http.ResponseWriter, r *http.Request, flow flowhook.Flow, email string,
	send func(ctx context.Context) error) bool {
	if err := s.db.ready(r.Context()); err != nil {
		s.fail(w, r, err)
		return false
	}
	x, ctx := &flowhook.Exchange{Request: r}, context.WithValue(context.Background(), requestKey{}, requestOf(r.Context()))
	s.recoveries.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, recoveryTime)
		defer cancel()
		err := s.recoveryTurns.Acquire(ctx, 1)
		if err == nil {
			defer s.recoveryTurns.Release(1)
			err = errors.Join(s.retry(ctx, func() error { return send(ctx) }), s.auditRequest(ctx, x, flow, email))
		}
		if err != nil {
			s.log.ErrorContext(ctx, "an email was not sent, or its request not audited", "flow", string(flow), "error", err)
		}
	})
	return true
}

// auditRequest records that someone asked for an email, whether or not there is an account.
func (s *service) auditRequest(ctx context.Context, x *flowhook.Exchange, flow flowhook.Flow, email string) error {
	if !s.requestRows.AllowN(s.now(), 1) {
		return nil
	}
	return s.transaction(ctx, "", func(ctx context.Context) error {
		return s.auditRow(ctx, x, flowhook.Point{Flow: flow, Phase: flowhook.Before}, nil, email, "requested")
	})
}
