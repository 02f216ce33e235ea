package sqltest

import (
	"strings"

	"github.com/flowhook/flowhook/internal/sqltest/proxy"
)

// lostToday reports whether a call may have committed although its error does not say so: today, a
// connection that is lost during a commit is an error like any other.
func lostToday(m proxy.Message, v proxy.Verdict) bool {
	return strings.EqualFold(m.Statement, "COMMIT") && v.Do == proxy.CutAnswer
}

// roundTripsToday replace rows of roundTrips.
var roundTripsToday = map[string]map[string]int{
	"sqlstore on PostgreSQL": {"login": 6, "login with an old cookie": 8, "registration": 7,
		"logout": 3, "logout in Complete": 5, "redeem": 6, "session read": 1},
	"sqlstore on MariaDB": {"login": 12, "login with an old cookie": 14, "registration": 13,
		"logout": 5, "logout in Complete": 7, "redeem": 12, "session read": 1},
}

// restartFailsToday holds the systems on which a login fails after the server has ended the pool's
// connections.
var restartFailsToday = map[string]bool{"sqlstore on PostgreSQL": true}
