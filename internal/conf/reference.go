package conf

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
)

// maxReference is how many bytes a file that a value refers to may have.
const maxReference = 64 << 10

var variable = regexp.MustCompile(`^\$\{([A-Za-z_][A-Za-z0-9_]*)\}$`)

// Resolve gives what a string in the config of a hook stands for, or what is wrong with it. A reference is the whole
// string: ${NAME} is a variable of the environment, file:PATH the content of a file, without its last line break.
// $${ at its beginning stands for ${. Any other string stands for itself.
func (f *File) Resolve(v Value) (text string, bad *Problem) {
	if path, ok := strings.CutPrefix(v.Value, "file:"); ok {
		return f.content(v, path)
	}
	if name := variable.FindStringSubmatch(v.Value); name != nil {
		text, set := os.LookupEnv(name[1])
		what := "the environment variable " + strconv.Quote(Clip(name[1]))
		if !set {
			return "", &Problem{v, what + " is not set", "set it, or write the value here"}
		}
		return usable(v, what, text)
	}
	if strings.HasPrefix(v.Value, "${") {
		return "", &Problem{v, "a reference is the whole value", "write ${NAME} alone, or $${ for a value that begins with ${"}
	}
	if strings.HasPrefix(v.Value, "$${") {
		return v.Value[1:], nil
	}
	return v.Value, nil
}

// secret is Resolve for a secret. What looks as if a part of it were a reference is none, and no secret either: there,
// nobody would see that it was not resolved.
func (f *File) secret(v Value) (text string, bad *Problem) {
	if strings.Contains(v.Value, "${") && !variable.MatchString(v.Value) {
		return "", &Problem{v, "a reference is the whole value", "write ${NAME} alone; a secret has no ${ in it"}
	}
	return f.Resolve(v)
}

// content gives the content of a file. It opens regular files only: a pipe could wait for ever, a device never end.
func (f *File) content(v Value, path string) (text string, bad *Problem) {
	what := "the file " + strconv.Quote(Clip(path))
	if strings.HasPrefix(path, "//") {
		if path = path[2:]; !strings.HasPrefix(path, "/") {
			return "", &Problem{v, what + " is on another host", "write file:/path or file:///path"}
		}
	}
	if path == "" {
		return "", &Problem{v, "file: without a path", "write file:/path"}
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(f.dir, path)
	}
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		return "", &Problem{v, what + " is no regular file", "a folder, a pipe or a device cannot be read here"}
	}
	var data []byte
	if err == nil {
		data, err = readFile(path, maxReference+1)
	}
	if err != nil {
		if at := (*fs.PathError)(nil); errors.As(err, &at) {
			err = at.Err // without the path, which is there already
		}
		return "", &Problem{v, what + " cannot be read: " + err.Error(), "relative paths begin at the folder of this file"}
	}
	if len(data) > maxReference {
		return "", &Problem{v, what + " is too big", "at most 64 KiB"}
	}
	text = string(data)
	if cut, ok := strings.CutSuffix(text, "\n"); ok {
		text = strings.TrimSuffix(cut, "\r")
	}
	return usable(v, what, text)
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
func usable(v Value, what, text string) (string, *Problem) {
	switch {
	case text == "":
		return "", &Problem{v, what + " is empty", "give it a value"}
	case !utf8.ValidString(text):
		return "", &Problem{v, what + " is not UTF-8", "write bytes as text, such as base64"}
	}
	return text, nil
}
