package main

import "time"

// The time limits add up. A request is answered within handlingTime, even if the database accepts
// connections and never answers:
//
//	requestTime   its context ends
//	answerTime    the store waits for the answer to a commit or a rollback that has begun
//	auditTime     the audit hook at failed, which outlasts the request
//	answerTime    the commit or rollback of the audit hook
//	pageTime      the error page
//
// The server's WriteTimeout is sendTime longer, for a slow client. A shutdown takes at most 30
// seconds: handlingTime for requests, mailTime for email, mail.CancelTime to cancel the queue, and
// closeTime to close the database. Meanwhile, a cleanup gets answerTime for its last commit, and
// recovery emails that are being queued get recoveryTime and answerTime, together at most mailTime.
const (
	requestTime  = 10 * time.Second // after it, the answer is 503
	answerTime   = 3 * time.Second  // also the longest that a commit may take
	auditTime    = 3 * time.Second
	pageTime     = time.Second
	handlingTime = requestTime + answerTime + auditTime + answerTime + pageTime
	sendTime     = 10 * time.Second

	mailTime     = 6 * time.Second // for email that is being sent
	recoveryTime = 3 * time.Second // to put a recovery email into the queue
	closeTime    = 2 * time.Second // for connections that are in use
)

// limits are the limits that tests shorten.
type limits struct{ request, answer, audit time.Duration }
