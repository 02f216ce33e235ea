package main

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A job is a change of a file to test.
type job struct {
	target target
	place  string // the file's path
	change change
}

// testStatements changes the statements of the places, one at a time, and prints each result. If
// sample is positive, it tests so many of the changes, chosen by the seed. Each worker changes a
// copy of the repository of its own; all of them share the databases.
func testStatements(places []string, sample int, seed uint64, workers int) (mutants []mutant, err error) {
	jobs, err := statementJobs(places)
	if err != nil {
		return nil, err
	}
	found := len(jobs)
	if sample > 0 {
		rand.New(rand.NewPCG(seed, 0)).Shuffle(found, func(i, j int) { jobs[i], jobs[j] = jobs[j], jobs[i] })
		jobs = jobs[:min(sample, found)]
	}
	fmt.Printf("testing %d of %d changes, with seed %d\n", len(jobs), found, seed)

	dir, err := os.MkdirTemp("", "mutation")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	var roots []string
	for n := range workers {
		root := filepath.Join(dir, strconv.Itoa(n))
		if err := os.CopyFS(root, os.DirFS(".")); err != nil {
			return nil, err
		}
		roots = append(roots, root)
	}
	if err := eachIn(roots, targetsOf(jobs), target.passes); err != nil {
		return nil, err
	}
	results := make(chan mutant, len(jobs))
	if err := eachIn(roots, jobs, func(j job, root string) error {
		m, err := j.test(root)
		if err == nil {
			m.print()
			results <- m
		}
		return err
	}); err != nil {
		return nil, err
	}
	close(results)
	for m := range results {
		mutants = append(mutants, m)
	}
	slices.SortStableFunc(mutants, func(a, b mutant) int {
		return cmp.Or(strings.Compare(a.place, b.place), cmp.Compare(a.line, b.line))
	})
	return mutants, nil
}

func statementJobs(places []string) (jobs []job, err error) {
	for _, place := range places {
		t, err := find(place)
		if err != nil {
			return nil, err
		}
		names, err := t.files(".")
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			file := path.Join(t.dir, name)
			src, err := os.ReadFile(file)
			if err != nil {
				return nil, err
			}
			changes, err := statementChanges(src)
			if err != nil {
				return nil, err
			}
			for _, c := range changes {
				jobs = append(jobs, job{t, file, c})
			}
		}
	}
	return jobs, nil
}

// targetsOf returns each target that the jobs have.
func targetsOf(jobs []job) (distinct []target) {
	for _, j := range jobs {
		if !slices.ContainsFunc(distinct, func(t target) bool { return t.dir == j.target.dir }) {
			distinct = append(distinct, j.target)
		}
	}
	return distinct
}

// eachIn calls do for every item, in as many goroutines as there are roots, each with a root of its
// own. After an error, a goroutine does nothing else.
func eachIn[T any](roots []string, items []T, do func(item T, root string) error) (err error) {
	next, errs := make(chan T), make(chan error)
	for _, root := range roots {
		go func() {
			var err error
			for item := range next {
				if err == nil {
					err = do(item, root)
				}
			}
			errs <- err
		}()
	}
	for _, item := range items {
		next <- item
	}
	close(next)
	for range roots {
		err = errors.Join(err, <-errs)
	}
	return err
}

// passes returns an error if the target's tests fail without a change.
func (t target) passes(root string) error {
	if by, out := t.test(root); by != "" {
		return fmt.Errorf("%s: without a change, the tests fail: %s\n%s", t.dir, by, out)
	}
	return nil
}

// test makes the change in a copy of the repository, tests it, and takes it back.
func (j job) test(root string) (m mutant, err error) {
	file := filepath.Join(root, j.place)
	src, err := os.ReadFile(file)
	if err != nil {
		return mutant{}, err
	}
	before := src[:j.change.from]
	line, start := strings.Count(string(before), "\n")+1, strings.LastIndex(string(before), "\n")+1
	m = mutant{place: j.place, kind: j.change.kind, line: line}
	if m.code, err = marked(file, line, len(before)-start+1); err != nil {
		return mutant{}, err
	}
	if j.change.function != "" { // else one row of the list would stand for every "return err" of a file
		m.code = j.change.function + ": " + m.code
	}
	if err := os.WriteFile(file, j.change.apply(src), 0o600); err != nil {
		return mutant{}, err
	}
	m.by, _ = j.target.test(root)
	switch m.by {
	case "":
		m.status = "LIVED"
	case doesNotCompile:
		m.status = "NOT VIABLE"
	default:
		m.status = "KILLED"
	}
	return m, os.WriteFile(file, src, 0o600)
}
