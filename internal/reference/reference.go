// Package reference resolves references to environment variables and files.
package reference

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/flowhook/flowhook/internal/spell"
)

// maxSize is the largest size of a file that a value may refer to, in bytes.
const maxSize = 64 << 10

var variable = regexp.MustCompile(`^\$\{([A-Za-z_][A-Za-z0-9_]*)\}$`)

// IsVariable reports whether a value is a reference to the environment.
func IsVariable(value string) bool { return variable.MatchString(value) }

// Is reports whether [Resolve] treats a value as a reference or as an escaped one.
func Is(value string) bool {
	return slices.ContainsFunc([]string{"file:", "${", "$${", "$file:"},
		func(prefix string) bool { return strings.HasPrefix(value, prefix) })
}

// A Fault describes what is wrong with a reference. It names the variable or the file, and never
// quotes its content.
type Fault struct{ Text, Hint string }

// Resolve returns the text that a value refers to. A reference is the whole value: ${NAME} is an
// environment variable, and file:PATH or file://PATH is the content of a file. A relative path is
// relative to dir. Resolve trims the text with [Trim]. A $ in front escapes a reference: $${NAME}
// is the text ${NAME}, and $file:PATH is the text file:PATH. Any other value is returned unchanged.
func Resolve(value, dir string) (text string, fault *Fault) {
	if path, ok := strings.CutPrefix(value, "file:"); ok {
		return content(strings.TrimPrefix(path, "//"), dir)
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
		return "", &Fault{"a reference must be the whole value",
			"write ${NAME} alone, or $${ for a value that begins with ${"}
	case strings.HasPrefix(value, "$${"), strings.HasPrefix(value, "$file:"):
		return value[1:], nil
	}
	return value, nil
}

// Trim removes the white space and the byte order marks around a text.
func Trim(text string) string {
	return strings.TrimFunc(text, func(r rune) bool { return unicode.IsSpace(r) || r == '\ufeff' })
}

// content returns the content of a file. It opens only regular files, because a pipe may block and
// a device may never end.
func content(path, dir string) (text string, fault *Fault) {
	what := "the file " + strconv.Quote(spell.Clip(path))
	if path == "" {
		return "", &Fault{"file: without a path", "write file:/path"}
	}
	if rest, ok := strings.CutPrefix(path, "/"); ok && filepath.VolumeName(rest) != "" { // file:///C:/path, on Windows
		path = rest
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		return "", &Fault{what + " is not a regular file", "a folder, a pipe or a device cannot be read here"}
	}
	data, err := readFile(path, maxSize+1)
	if err != nil {
		if at := (*fs.PathError)(nil); errors.As(err, &at) {
			err = at.Err // without the path, which is in the text already
		}
		return "", &Fault{what + " cannot be read: " + err.Error(),
			"a relative path is relative to the folder of the YAML file; write an absolute one as file:/path"}
	}
	if len(data) > maxSize {
		return "", &Fault{what + " is too big", "at most 64 KiB"}
	}
	return usable(what, string(data))
}

// readFile reads at most so many bytes of a file.
func readFile(path string, most int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, most))
}

// usable returns the trimmed text, or a fault if nothing is left or it is not UTF-8.
func usable(what, text string) (string, *Fault) {
	text = Trim(text)
	switch {
	case text == "":
		return "", &Fault{what + " is empty", "give it a value"}
	case !utf8.ValidString(text):
		return "", &Fault{what + " is not UTF-8", "encode bytes as text, such as base64"}
	}
	return text, nil
}
