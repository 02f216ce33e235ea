package flowhook

// Sessions issues, finds and ends sessions. It is safe for concurrent use.
type Sessions struct{}
