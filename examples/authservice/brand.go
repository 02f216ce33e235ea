package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A brand is how the pages and emails look.
type brand struct {
	Name   string
	Logo   logo  // without data for the built-in one
	Accent color // of buttons and links
}

// A logo is a file with an image.
type logo struct {
	Data []byte // empty for none
	Type string // the extension of the file, such as .svg
}

const (
	labelMax = 40
	logoMax  = 256 << 10
)

var logoTypes = []string{".svg", ".png", ".webp", ".jpg", ".jpeg"}

func readBrandName(c *config, value string) (err error) {
	c.Brand.Name, err = readLabel(value)
	return err
}

// readLabel reads a name that the pages show, as cleanName cleans it.
func readLabel(value string) (string, error) {
	name := cleanName(value)
	if utf8.RuneCountInString(name) > labelMax || nameFault(name) != "" {
		return "", fmt.Errorf("must have at most %d printable characters", labelMax)
	}
	return name, nil
}

func readBrandAccent(c *config, value string) (err error) {
	var ok bool
	if c.Brand.Accent, ok = parseColor(value); !ok {
		return fmt.Errorf("is %q; it must be # and six hexadecimal digits", value)
	}
	return nil
}

func readBrandLogo(c *config, path string) (err error) {
	c.Brand.Logo, err = readLogo(path)
	return err
}

// readLogo reads a file with an image. Its error is the rest of a sentence that begins with the name
// of the variable.
func readLogo(path string) (logo, error) {
	extension := strings.ToLower(filepath.Ext(path))
	if !slices.Contains(logoTypes, extension) {
		return logo{}, fmt.Errorf("is %q; it must be a file that ends in %s", path, strings.Join(logoTypes, ", "))
	}
	data, err := os.ReadFile(path)
	switch {
	case err != nil:
		return logo{}, fmt.Errorf("is a file that cannot be read: %w", err)
	case len(data) == 0:
		return logo{}, errors.New("is an empty file")
	case len(data) > logoMax:
		return logo{}, fmt.Errorf("is a file of %d KiB; it must have at most %d KiB", len(data)>>10, logoMax>>10)
	}
	return logo{data, extension}, nil
}

// A color is red, green and blue.
type color [3]uint8

// parseColor parses a color such as #4f46e5.
func parseColor(s string) (c color, ok bool) {
	if len(s) != 7 || s[0] != '#' {
		return color{}, false
	}
	n, err := strconv.ParseUint(s[1:], 16, 24)
	return color{uint8(n >> 16), uint8(n >> 8), uint8(n)}, err == nil
}

func (c color) String() string { return fmt.Sprintf("#%02x%02x%02x", c[0], c[1], c[2]) }

// mix returns c with the part t of another color, from 0 to 1.
func (c color) mix(t float64, with color) (mixed color) {
	for i := range c {
		mixed[i] = uint8(math.Round(float64(c[i])*(1-t) + float64(with[i])*t))
	}
	return mixed
}

// contrast returns the contrast of two colors as WCAG defines it, from 1 to 21.
func (c color) contrast(d color) float64 {
	x, y := c.luminance(), d.luminance()
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

func (c color) luminance() float64 {
	linear := func(v uint8) float64 {
		if s := float64(v) / 255; s <= 0.04045 {
			return s / 12.92
		} else {
			return math.Pow((s+0.055)/1.055, 2.4)
		}
	}
	return 0.2126*linear(c[0]) + 0.7152*linear(c[1]) + 0.0722*linear(c[2])
}

// readable returns the color closest to c, on the way to another one, that has a contrast of at
// least 5 on all the backgrounds. WCAG AA wants 4.5.
func (c color) readable(towards color, on ...color) color {
	for i := range 101 {
		mixed := c.mix(float64(i)/100, towards)
		if !slices.ContainsFunc(on, func(b color) bool { return mixed.contrast(b) < 5 }) {
			return mixed
		}
	}
	return towards
}

var (
	white = color{0xff, 0xff, 0xff}
	black = color{}
)

// css returns the rules with the accent color, readable on the backgrounds of static/style.css in
// light and in dark mode.
func (b brand) css() string {
	light := b.Accent.readable(black, white, color{0xf6, 0xf7, 0xf9})
	dark := b.Accent.readable(white, color{0x17, 0x1a, 0x21}, color{0x0d, 0x0f, 0x13}, color{0x20, 0x24, 0x2d})
	rules := func(main, hover, on color) string {
		return fmt.Sprintf(":root { --main: %s; --main-strong: %s; --on-main: %s; }\n", main, hover, on)
	}
	return rules(light, light.mix(.18, black), white) + "@media (prefers-color-scheme: dark) {\n" +
		rules(dark, dark.mix(.25, white), color{0x0d, 0x0f, 0x13}) + "}\n"
}
