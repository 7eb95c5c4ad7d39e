//go:build steps

package step_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/riftline/riftline/shared/step"
)

// TestMain lets the test binary run itself as the process that dies.
func TestMain(m *testing.M) {
	if os.Getenv("STEP_TEST_CHILD") != "" {
		for range 3 {
			step.Reached(context.Background(), "poll.1.loaded")
		}
		os.Exit(7)
	}
	os.Exit(m.Run())
}

func child(t *testing.T, env ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0]) //nolint:gosec // the test binary itself
	cmd.Env = append(os.Environ(), append(env, "STEP_TEST_CHILD=1")...)
	return cmd
}

func TestTheProcessDiesWhereItIsTold(t *testing.T) {
	trace := filepath.Join(t.TempDir(), "trace")
	cmd := child(t, "RIFTLINE_STEP_KILL=poll.1.loaded:2", "RIFTLINE_STEP_TRACE="+trace)
	var exit *exec.ExitError
	if err := cmd.Run(); !errors.As(err, &exit) {
		t.Fatalf("the child ended with %v, want SIGKILL", err)
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		t.Fatalf("the child ended with %v, want SIGKILL", exit)
	}
	got, err := os.ReadFile(trace) //nolint:gosec // a file of this test
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(got), "poll.1.loaded\n"); n != 2 {
		t.Errorf("the step was reached %d times, want 2", n)
	}
}

func TestTheProcessSleepsUntilTheFileIsGone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "paused")
	cmd := child(t, "RIFTLINE_STEP_PAUSE=poll.1.loaded:3="+file)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(file); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the child never paused")
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 7 {
		t.Errorf("the child ended with %v, want its own exit code 7", err)
	}
}
