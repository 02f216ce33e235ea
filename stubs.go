package flowhook
type fieldError struct { key string; err error }
func (e *fieldError) Error() string { return "" }
