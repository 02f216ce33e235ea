package plan

// A Lane is one way through a flow: by one strategy that has hooks of its own, or by any other one.
type Lane struct {
	Strategy string // "" for any other one
	Title    string // as in "login by password"
	Short    string // the title without the flow
}

// Lanes returns the lanes of a flow. strategies are those that have hooks of their own in it.
func Lanes(flow string, strategies []string) (all []Lane) {
	for _, s := range strategies {
		all = append(all, Lane{s, flow + " by " + s, s})
	}
	short := "any strategy"
	if len(strategies) > 0 {
		short = "any other strategy"
	}
	return append(all, Lane{"", flow + " by " + short, short})
}
