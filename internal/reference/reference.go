// Package reference finds what stands elsewhere: in the environment, or in a file.
package reference

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/flowhook/flowhook/internal/spell"
)

// maxSize is how many bytes a file that a value refers to may have.
const maxSize = 64 << 10

var variable = regexp.MustCompile(`^\$\{([A-Za-z_][A-Za-z0-9_]*)\}$`)

// IsVariable says whether a value is a reference to the environment.
func IsVariable(value string) bool { return variable.MatchString(value) }

// A Fault is what is wrong with a reference. It names the variable or the file, and shows nothing of what is in it.
type Fault struct{ Text, Hint string }

// Resolve gives what a value stands for. A reference is the whole value: ${NAME} is a variable of the environment, file:PATH
// the content of a file, without its last line break; a relative path begins at dir. A $ in front of either makes it stand
// for itself: $${NAME} for ${NAME}, $file:PATH for file:PATH. So does any other value.
func Resolve(value, dir string) (text string, fault *Fault) {
	if path, ok := strings.CutPrefix(value, "file:"); ok {
		return content(path, dir)
	}
	if name := variable.FindStringSubmatch(value); name != nil {
		text, set := os.LookupEnv(name[1])
		what := "the environment variable " + strconv.Quote(spell.Clip(name[1]))
		if !set {
			return "", &Fault{what + " is not set", "set it, or write the value here"}
		}
		return usable(what, text)
	}
	switch {
	case strings.HasPrefix(value, "${"):
		return "", &Fault{"a reference is the whole value", "write ${NAME} alone, or $${ for a value that begins with ${"}
	case strings.HasPrefix(value, "$${"), strings.HasPrefix(value, "$file:"):
		return value[1:], nil
	}
	return value, nil
}

// content gives the content of a file. It opens regular files only: a pipe could wait for ever, a device never end.
func content(path, dir string) (text string, fault *Fault) {
	what := "the file " + strconv.Quote(spell.Clip(path))
	if strings.HasPrefix(path, "//") {
		if path = path[2:]; !strings.HasPrefix(path, "/") && !strings.HasPrefix(path, "./") { // file://./path is Kratos' way
			return "", &Fault{what + " is on another host", "write file:/path or file:///path"}
		}
	}
	if path == "" {
		return "", &Fault{"file: without a path", "write file:/path"}
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		return "", &Fault{what + " is no regular file", "a folder, a pipe or a device cannot be read here"}
	}
	data, err := readFile(path, maxSize+1)
	if err != nil {
		if at := (*fs.PathError)(nil); errors.As(err, &at) {
			err = at.Err // without the path, which is there already
		}
		return "", &Fault{what + " cannot be read: " + err.Error(), "relative paths begin at the folder of this file"}
	}
	if len(data) > maxSize {
		return "", &Fault{what + " is too big", "at most 64 KiB"}
	}
	text = string(data)
	if cut, ok := strings.CutSuffix(text, "\n"); ok {
		text = strings.TrimSuffix(cut, "\r")
	}
	return usable(what, text)
}

func readFile(path string, most int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, most))
}

// usable gives text, unless there is none in it.
func usable(what, text string) (string, *Fault) {
	switch {
	case text == "":
		return "", &Fault{what + " is empty", "give it a value"}
	case !utf8.ValidString(text):
		return "", &Fault{what + " is not UTF-8", "write bytes as text, such as base64"}
	}
	return text, nil
}
