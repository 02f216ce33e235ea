package main

import (
	"bytes"
	"io"
	"strings"
	"testing"
)

func TestWriteFleets(t *testing.T) {
	var table bytes.Buffer
	defer func(before io.Writer) { out = before }(out)
	out = &table
	writeFleets([]throughput{{1000, 0.5}, {1500, 0.8}, {1900, 0.9}, {2000, 0.95}, {2200, 0}, {500, 0.3}})
	for _, want := range []string{
		"| 1 process | 1000 | " + strings.Repeat("█", 18) + " | 50% |",
		"| 4 processes, `synchronous_commit = off` | 2200 | " + strings.Repeat("█", 40) + " | unknown |",
		"The processors, which are 95% in use, limit them.",
		"4 processes sign in 1.10 times as often",
		"reach 0.25 times as many",
	} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("%q is not in:\n%s", want, &table)
		}
	}
}

func TestLimit(t *testing.T) {
	for _, of := range []struct {
		all, unsynced throughput
		want          string
	}{
		{throughput{1000, 0.95}, throughput{1249, 1}, "The processors, which are 95% in use, limit them."},
		{throughput{1000, 0.85}, throughput{1250, 1}, "The disk, for which each commit waits, limits them."},
		{throughput{1000, 0.95}, throughput{1250, 1}, "The processors, which are 95% in use, and the disk,"},
		{throughput{1000, 0.85}, throughput{1100, 1}, "Neither"},
	} {
		if got := limit(of.all, of.unsynced); !strings.HasPrefix(got, of.want) {
			t.Errorf("%v, %v: %q, want %q", of.all, of.unsynced, got, of.want)
		}
	}
}
