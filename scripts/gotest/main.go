// Command gotest runs "go test" with the arguments that it is given and prints what a reader wants of it: the packages'
// closing lines, the whole output of what failed, and each skipped test with its reason, which go test keeps to itself
// unless it is asked for everything. Its exit status is go test's.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

// event is one line of go test -json (see "go doc test2json").
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
}

type name struct{ pkg, test string }

// summary collects the output of tests until their outcome is known.
type summary struct {
	out                     io.Writer
	output                  map[name][]string
	packages                map[string][]string
	failures                []string // what failed tests said first, for the end, where it is found
	passed, failed, skipped int
}

func main() {
	os.Exit(run(os.Args[1:], os.Stdout))
}

func run(args []string, out io.Writer) int {
	cmd := exec.CommandContext(context.Background(), "go", append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		fmt.Fprintln(os.Stderr, "gotest:", err)
		return 1
	}
	// go test gets an interrupt of the terminal by itself and ends; its last words are wanted.
	signal.Ignore(os.Interrupt, syscall.SIGTERM)
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "gotest:", err)
		return 1
	}
	s := summary{out: out, output: map[name][]string{}, packages: map[string][]string{}}
	s.read(stdout)
	err = cmd.Wait()
	fmt.Fprint(out, strings.Join(s.failures, ""))
	fmt.Fprintf(out, "%d passed, %d failed, %d skipped\n", s.passed, s.failed, s.skipped)
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() > 0 {
		return exit.ExitCode()
	}
	if err != nil || s.failed > 0 {
		return 1
	}
	return 0
}

func (s *summary) read(r io.Reader) {
	in := bufio.NewReaderSize(r, 1<<20)
	for {
		line, err := in.ReadString('\n')
		if line != "" {
			var e event
			if json.Unmarshal([]byte(line), &e) == nil && e.Action != "" {
				s.event(e)
			} else {
				fmt.Fprint(s.out, line)
			}
		}
		if err != nil {
			return
		}
	}
}

func (s *summary) event(e event) {
	n := name{e.Package, e.Test}
	switch {
	case e.Action == "build-output":
		fmt.Fprint(s.out, e.Output)
	case e.Test == "":
		s.pkg(e)
	case e.Action == "output":
		if !strings.HasPrefix(e.Output, "=== ") {
			s.output[n] = append(s.output[n], e.Output)
		}
	case e.Action == "pass":
		s.passed++
		delete(s.output, n)
	case e.Action == "fail":
		s.fail(n)
	case e.Action == "skip":
		s.skipped++
		fmt.Fprintf(s.out, "SKIP\t%s\t%s\t%s\n", e.Package, e.Test, reason(s.output[n]))
		delete(s.output, n)
	}
}

// fail prints all that a failed test said, and keeps the start of it: what follows may be the logs of its processes,
// long enough to hide which check failed.
func (s *summary) fail(n name) {
	s.failed++
	lines := s.output[n]
	delete(s.output, n)
	fmt.Fprint(s.out, strings.Join(lines, ""))
	const first = 5
	said := slices.DeleteFunc(slices.Clone(lines), func(line string) bool { return strings.HasPrefix(strings.TrimSpace(line), "--- ") })
	if len(said) > 0 {
		s.failures = append(s.failures, fmt.Sprintf("FAILED\t%s\t%s\n%s", n.pkg, n.test, strings.Join(said[:min(first, len(said))], "")))
	}
}

func (s *summary) pkg(e event) {
	switch e.Action {
	case "output":
		s.packages[e.Package] = append(s.packages[e.Package], e.Output)
	case "pass", "skip":
		// The last line is "ok …" or "? … [no test files]"; what stands before it is what tests printed.
		if lines := s.packages[e.Package]; len(lines) > 0 {
			fmt.Fprint(s.out, lines[len(lines)-1])
		}
		delete(s.packages, e.Package)
	case "fail":
		// Tests that never ended (a panic, a time-out) come first.
		for n := range s.output {
			if n.pkg == e.Package {
				s.fail(n)
			}
		}
		if len(s.packages[e.Package]) == 0 {
			fmt.Fprintf(s.out, "FAIL\t%s\n", e.Package)
		}
		fmt.Fprint(s.out, strings.Join(s.packages[e.Package], ""))
		delete(s.packages, e.Package)
	}
}

// reason takes what a test said when it skipped from its output: "    file.go:12: why".
func reason(lines []string) string {
	var said []string
	for _, line := range lines {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "=== ") || strings.HasPrefix(line, "--- ") {
			continue
		}
		if _, after, ok := strings.Cut(line, ".go:"); ok {
			if _, text, ok := strings.Cut(after, ": "); ok {
				line = text
			}
		}
		said = append(said, line)
	}
	return strings.Join(said, " ")
}
