package conf

import (
	"strings"

	"github.com/flowhook/flowhook/internal/reference"
)

// Resolve gives what a string in the config of a hook stands for, or what is wrong with it. See [reference.Resolve].
func (f *File) Resolve(v Value) (text string, bad *Problem) {
	text, fault := reference.Resolve(v.Value, f.dir)
	if fault != nil {
		return "", &Problem{v, fault.Text, fault.Hint}
	}
	return text, nil
}

// secret is Resolve for a secret. What looks as if a part of it were a reference is none, and no secret either: there,
// nobody would see that it was not resolved.
func (f *File) secret(v Value) (text string, bad *Problem) {
	if strings.Contains(v.Value, "${") && !reference.IsVariable(v.Value) {
		return "", &Problem{v, "a reference is the whole value", "write ${NAME} alone; a secret has no ${ in it"}
	}
	return f.Resolve(v)
}
