package conf

// An Overruled value has no effect, because another one, in a newer or a closer place, says the same thing.
type Overruled struct{ Value, By Value }

// take puts v in the place of what an older place, or one further out, said.
func (l *layout) take(at *Value, v Value) {
	if at.Node != nil {
		l.file.Overruled = append(l.file.Overruled, Overruled{*at, v})
	}
	*at = v
}
