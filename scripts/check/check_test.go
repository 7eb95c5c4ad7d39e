// Package check holds tests on the repository itself: which package may import which, lint, known vulnerabilities,
// documentation, and what must not be in a commit.
package check

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/riftline/riftline"

// root is the repository's folder.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// command runs a program in the repository's folder and gives what it wrote to standard output and both streams.
func command(ctx context.Context, t *testing.T, env []string, name string, args ...string) (stdout, all string, err error) {
	t.Helper()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = root(t)
	cmd.Env = append(os.Environ(), env...)
	var out bytes.Buffer
	both := &shared{}
	cmd.Stdout = io.MultiWriter(&out, both)
	cmd.Stderr = both
	err = cmd.Run()
	return out.String(), both.String(), err
}

// shared is a buffer that the copying of both streams may write to. The buffer is no embedded one, whose ReadFrom
// io.Copy would prefer.
type shared struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (s *shared) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buffer.Write(p)
}

func (s *shared) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buffer.String()
}

// files lists what is, or is about to be, committed.
func files(t *testing.T) []string {
	t.Helper()
	out, all, err := command(t.Context(), t, nil, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	if err != nil {
		t.Fatalf("listing the repository's files: %v\n%s", err, all)
	}
	var names []string
	for name := range strings.SplitSeq(out, "\x00") {
		// A file that is deleted but not yet committed as such is listed too.
		if _, err := os.Lstat(filepath.Join(root(t), name)); name != "" && err == nil {
			names = append(names, name)
		}
	}
	if len(names) < 20 {
		t.Fatalf("only %d files found", len(names))
	}
	return names
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root(t), name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}
