package check

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/riftline/riftline/scripts/internal/require"
)

// tool gives the path of a pinned tool, built once per machine.
func tool(t *testing.T, name string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	out, all, err := command(ctx, t, nil, "scripts/tools.sh", name)
	if err != nil {
		what := map[string]string{"golangci-lint": "lint", "govulncheck": "vuln"}[name]
		require.Skip(t, what, "scripts/tools.sh "+name+": "+err.Error()+"\n"+all)
	}
	return strings.TrimSpace(out)
}

func TestFormat(t *testing.T) {
	args := []string{"-l", "-s"}
	for _, name := range files(t) {
		if strings.HasSuffix(name, ".go") {
			args = append(args, name)
		}
	}
	out, all, err := command(t.Context(), t, nil, "gofmt", args...)
	if err != nil || out != "" {
		t.Errorf("gofmt would change these files (make fmt): %v\n%s", err, all)
	}
}

// The code that tests alone are built from is code too.
func TestVetWithStepHooks(t *testing.T) {
	if _, all, err := command(t.Context(), t, nil, "go", "vet", "-tags", "steps", "./..."); err != nil {
		t.Errorf("go vet -tags steps: %v\n%s", err, all)
	}
}

func TestLint(t *testing.T) {
	lint := tool(t, "golangci-lint")
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	out, all, err := command(ctx, t, nil, lint, "run", "--allow-parallel-runners", "--concurrency", "2", "./...")
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() == 1 {
		t.Fatalf("make lint finds:\n%s", out)
	}
	if err != nil {
		t.Fatalf("golangci-lint: %v\n%s", err, all)
	}
}

func TestShellcheck(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	prefix, all, err := command(ctx, t, nil, "scripts/python.sh", "-c", "import sys; print(sys.prefix)")
	if err != nil {
		require.Skip(t, "shellcheck", "scripts/python.sh: "+err.Error()+"\n"+all)
	}
	args := []string{"--external-sources", "--source-path=scripts"}
	for _, name := range files(t) {
		if data := read(t, name); bytes.HasPrefix(data, []byte("#!/usr/bin/env bash\n")) || strings.HasSuffix(name, ".sh") {
			args = append(args, name)
		}
	}
	if len(args) < 10 {
		t.Fatalf("only %d scripts found", len(args))
	}
	if _, all, err := command(ctx, t, nil, filepath.Join(strings.TrimSpace(prefix), "bin", "shellcheck"), args...); err != nil {
		t.Errorf("shellcheck: %v\n%s", err, all)
	}
}

func TestModuleFileIsTidy(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	if _, all, err := command(ctx, t, nil, "go", "mod", "tidy", "-diff"); err != nil {
		t.Errorf("go mod tidy would change go.mod or go.sum: %v\n%s", err, all)
	}
}

// The Makefile leaves the race detector out where there is no C compiler; that must be seen.
func TestRaceDetectorIsUsed(t *testing.T) {
	flag, ok := os.LookupEnv("RIFTLINE_RACE")
	switch {
	case !ok:
		t.Skip("race: not started by make, which chooses")
	case flag == "":
		require.Skip(t, "race", "there is no C compiler here, so the tests ran without the race detector")
	}
}
