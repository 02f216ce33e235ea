// Package pagecheck has the script with which tests check a page in a browser.
package pagecheck

import _ "embed"

// JS is an expression. Its functions structure, layout and colors check the current page and return
// how many checks they made and what is wrong. TestBadPages in internal/servicetest shows that each
// check reports a bad page.
//
//go:embed page.js
var JS string
