//go:build steps

package step

import (
	"context"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

var (
	mu      sync.Mutex
	counted = map[string]int{}
)

// Reached marks a named step of a protocol.
//
// RIFTLINE_STEP_KILL=NAME[:N] kills the process with SIGKILL when NAME is reached for the N-th time (1 unless given).
// RIFTLINE_STEP_PAUSE=NAME[:N]=FILE makes it write FILE there and wait, without looking at ctx, until FILE is gone: a
// process that sleeps in the middle of an instruction. RIFTLINE_STEP_TRACE=FILE appends the name of every step reached.
func Reached(_ context.Context, name string) {
	mu.Lock()
	counted[name]++
	n := counted[name]
	if file := os.Getenv("RIFTLINE_STEP_TRACE"); file != "" {
		if f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600); err == nil {
			_, _ = f.WriteString(name + "\n")
			_ = f.Close()
		}
	}
	mu.Unlock()
	if is(os.Getenv("RIFTLINE_STEP_KILL"), name, n) {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
	at, file, ok := strings.Cut(os.Getenv("RIFTLINE_STEP_PAUSE"), "=")
	if !ok || !is(at, name, n) {
		return
	}
	if err := os.WriteFile(file, []byte(name), 0o600); err != nil {
		panic(err)
	}
	for {
		if _, err := os.Stat(file); err != nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func is(want, name string, n int) bool {
	at, count, ok := strings.Cut(want, ":")
	if at != name {
		return false
	}
	if !ok {
		return n == 1
	}
	m, err := strconv.Atoi(count)
	return err == nil && m == n
}
