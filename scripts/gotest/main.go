// Command gotest runs "go test" with the arguments that it is given and prints what a reader wants of it: the packages'
// closing lines, the whole output of what failed, and each skipped test with its reason, which go test keeps to itself
// unless it is asked for everything. At the end it says once more, in short, what failed and why, and adds that to the file
// that RIFTLINE_FAILURES names. Its exit status is go test's.
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
	"regexp"
	"slices"
	"strings"
	"syscall"
)

// event is one line of go test -json (see "go doc test2json").
type event struct {
	Action      string
	Package     string
	Test        string
	Output      string
	ImportPath  string // of what is compiled
	FailedBuild string // the ImportPath of what did not compile
}

type name struct{ pkg, test string }

// summary collects the output of tests until their outcome is known.
type summary struct {
	out                     io.Writer
	output                  map[name][]string
	packages                map[string][]string
	build                   map[string][]string // what the compiler said, by package
	failing                 map[string]bool     // packages with a test that failed
	failures                []string            // what failed and why, for the end, where it is found
	passed, failed, skipped int
}

func main() {
	failures := os.Getenv("RIFTLINE_FAILURES")
	// Tests that run this program in a test of their own have failures that are none.
	_ = os.Unsetenv("RIFTLINE_FAILURES")
	os.Exit(run(os.Args[1:], os.Stdout, failures))
}

// run runs go test. What failed is added to a file, unless that has no name.
func run(args []string, out io.Writer, failures string) int {
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
	s := summary{out: out, output: map[name][]string{}, packages: map[string][]string{}, build: map[string][]string{}, failing: map[string]bool{}}
	s.read(stdout)
	err = cmd.Wait()
	fmt.Fprint(out, strings.Join(s.failures, ""))
	if err := keep(failures, s.failures); err != nil {
		fmt.Fprintln(os.Stderr, "gotest:", err)
	}
	fmt.Fprintf(out, "%d passed, %d failed, %d skipped\n", s.passed, s.failed, s.skipped)
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() > 0 {
		return exit.ExitCode()
	}
	if err != nil || s.failed > 0 {
		return 1
	}
	return 0
}

// keep adds texts to a file.
func keep(file string, texts []string) error {
	if file == "" || len(texts) == 0 {
		return nil
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(strings.Join(texts, ""))
	return errors.Join(err, f.Close())
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
		s.build[e.ImportPath] = append(s.build[e.ImportPath], e.Output)
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

// fail prints all that a failed test said, and keeps the messages in it: between them and behind them may be the logs of
// what it ran, long enough to hide which check failed.
func (s *summary) fail(n name) {
	s.failed++
	s.failing[n.pkg] = true
	text := strings.Join(s.output[n], "")
	delete(s.output, n)
	fmt.Fprint(s.out, text)
	if said := messages(text); said != "" {
		s.failures = append(s.failures, fmt.Sprintf("FAILED\t%s\t%s\n%s", n.pkg, n.test, said))
	}
}

var (
	// message begins what a test says by Log, Error, Fatal or Skip; what follows of it is indented further.
	message = regexp.MustCompile(`^    [^ :]+\.go:\d+: `)
	// crash begins what the runtime says, which is not indented.
	crash = regexp.MustCompile(`^(panic: |fatal error: |WARNING: DATA RACE|signal: )`)
)

// messages takes what a test said itself, and the runtime of it, out of its output, without the middle of what is long.
// Of a test that said nothing it takes the first lines of the output.
func messages(text string) string {
	const ofMessage, ofCrash, ofOther, most = 12, 40, 5, 80
	var all [][]string
	var other []string
	within, crashed := false, false
	for line := range strings.Lines(text) {
		begins, crashes := message.MatchString(line), crash.MatchString(line)
		switch {
		case strings.HasPrefix(strings.TrimSpace(line), "--- "):
			within = false
			continue
		case begins || crashes && !(within && crashed):
			all = append(all, nil)
			within, crashed = true, crashes
		case !crashed && !strings.HasPrefix(line, "        "):
			within = false
		}
		line = strings.TrimSuffix(line, "\n") + "\n"
		switch {
		case within && !(crashed && len(all[len(all)-1]) == ofCrash):
			all[len(all)-1] = append(all[len(all)-1], line)
		case len(other) < ofOther:
			other = append(other, line)
		}
	}
	if len(all) == 0 {
		return strings.Join(other, "")
	}
	var said []string
	for _, lines := range all {
		if crash.MatchString(lines[0]) {
			said = append(said, lines...)
			continue
		}
		said = append(said, ends(lines, ofMessage)...)
	}
	return strings.Join(ends(said, most), "")
}

// ends takes the middle out of many lines.
func ends(lines []string, most int) []string {
	n := len(lines)
	if n <= most {
		return lines
	}
	return slices.Concat(lines[:most/2], []string{fmt.Sprintf("        (%d more lines)\n", n-most)}, lines[n-most/2:])
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
		lines := s.packages[e.Package]
		if len(lines) == 0 {
			lines = []string{fmt.Sprintf("FAIL\t%s\n", e.Package)}
		}
		fmt.Fprint(s.out, strings.Join(lines, ""))
		if !s.failing[e.Package] { // it does not compile, or ended outside of a test
			said := slices.Concat(ends(s.build[e.FailedBuild], 20), ends(lines, 20))
			s.failures = append(s.failures, fmt.Sprintf("FAILED\t%s\n%s", e.Package, strings.Join(said, "")))
		}
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
