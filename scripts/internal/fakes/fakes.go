// Package fakes stands in for programs that scripts call: a fake writes down how it was called and answers what it was told
// to.
package fakes

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// program is what each fake is. A call is a folder with what came in; what goes out is the answer with the longest
// beginning of the call's words.
const program = `#!/bin/bash
dir=$(cd "$(dirname "$0")/.." && pwd)
n=0
until mkdir "$dir/calls/$n" 2>/dev/null; do n=$((n + 1)); done
env -0 >"$dir/calls/$n/env"
cat >"$dir/calls/$n/stdin"
printf '%s\0' "${0##*/}" "$@" >"$dir/calls/$n/args"
best=
for answer in "$dir"/answers/*; do
  [[ -d $answer ]] || continue
  words=$(<"$answer/words")
  if [[ "${0##*/} $* " == "$words "* && ${#words} -gt ${#best} ]]; then
    best=$words
    found=$answer
  fi
done
[[ -n $best ]] || exit 0
cat "$found/stdout"
[[ ! -s $found/stderr ]] || cat "$found/stderr" >&2
exit "$(<"$found/status")"
`

// Programs are fakes on a PATH of their own.
type Programs struct {
	t       testing.TB
	dir     string
	answers int
}

// A Call is one call of a fake.
type Call struct {
	// Args begins with the program's name.
	Args []string
	// Stdin is all that came on standard input.
	Stdin string
	// Environ is the environment, NAME=value.
	Environ []string
}

// String gives the words with spaces between them.
func (c Call) String() string { return strings.Join(c.Args, " ") }

// New makes fakes of programs.
func New(t testing.TB, names ...string) *Programs {
	t.Helper()
	p := &Programs{t: t, dir: t.TempDir()}
	for _, folder := range []string{"bin", "calls", "answers"} {
		p.must(os.Mkdir(filepath.Join(p.dir, folder), 0o755)) //nolint:gosec // a folder of test data
	}
	for _, name := range names {
		p.must(WriteProgram(filepath.Join(p.dir, "bin", name), []byte(program)))
	}
	return p
}

// WriteProgram writes a file that is to be run. A process that is started meanwhile has it open for writing until it has
// become what it is to be, and a file that somebody may write to is not run ("text file busy"): none is started meanwhile.
func WriteProgram(file string, text []byte) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return os.WriteFile(file, text, 0o755) //nolint:gosec // a program
}

func (p *Programs) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// Path is a PATH on which the fakes come first.
func (p *Programs) Path() string {
	return "PATH=" + filepath.Join(p.dir, "bin") + string(os.PathListSeparator) + os.Getenv("PATH")
}

// Answer says what a call that begins with these words (the program's name first) prints, and how it exits.
func (p *Programs) Answer(words, stdout, stderr string, status int) {
	p.t.Helper()
	folder := filepath.Join(p.dir, "answers", strconv.Itoa(p.answers))
	p.answers++
	p.must(os.Mkdir(folder, 0o755)) //nolint:gosec // a folder of test data
	for name, text := range map[string]string{"words": words, "stdout": stdout, "stderr": stderr, "status": strconv.Itoa(status)} {
		p.must(os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600))
	}
}

// Calls are the calls so far, in their order.
func (p *Programs) Calls() []Call {
	p.t.Helper()
	var calls []Call
	for n := 0; ; n++ {
		folder := filepath.Join(p.dir, "calls", strconv.Itoa(n))
		args, err := os.ReadFile(filepath.Join(folder, "args"))
		if os.IsNotExist(err) {
			return calls
		}
		p.must(err)
		stdin, err := os.ReadFile(filepath.Join(folder, "stdin"))
		p.must(err)
		environ, err := os.ReadFile(filepath.Join(folder, "env"))
		p.must(err)
		calls = append(calls, Call{Args: words(args), Stdin: string(stdin), Environ: words(environ)})
	}
}

func words(data []byte) []string {
	return strings.Split(strings.TrimSuffix(string(data), "\x00"), "\x00")
}
