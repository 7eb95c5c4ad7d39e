//go:build unix

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/riftline/riftline/scripts/internal/require"
)

// A peer is a server of another make that a script of ours runs, for as long as this process holds its standard input
// open: it cannot outlive the tests. It is started by the first test that asks for it.
type peer struct {
	what   string // in RIFTLINE_REQUIRE
	script string
	args   []string

	once   sync.Once
	dir    string
	vars   map[string]string
	lacks  string // why this machine can't run it
	failed error
	stdin  io.Closer
	ended  chan struct{}
}

var (
	kafka    = &peer{what: "kafka", script: "kafka.sh", args: []string{"--secure", "--set", "auto.create.topics.enable=false"}}
	registry = &peer{what: "registry", script: "registry.sh"}
	pubsub   = &peer{what: "pubsub", script: "pubsub.sh"}

	// Other transaction protocols, and what few tests ask for.
	kafka39        = &peer{what: "kafka", script: "kafka.sh", args: []string{"--version", "3.9.1", "--set", "auto.create.topics.enable=false"}}
	kafkaVersion0  = &peer{what: "kafka", script: "kafka.sh", args: []string{"--transaction-version", "0", "--set", "auto.create.topics.enable=false"}}
	kafkaForgetful = &peer{what: "kafka", script: "kafka.sh", args: []string{"--set", "auto.create.topics.enable=false", "--set", "offsets.retention.minutes=1", "--set", "offsets.retention.check.interval.ms=2000"}}
	kafkaAutomatic = &peer{what: "kafka", script: "kafka.sh", args: []string{"--set", "auto.create.topics.enable=true"}}

	peers = []*peer{kafka, registry, pubsub, kafka39, kafkaVersion0, kafkaForgetful, kafkaAutomatic}
)

// need starts the peer if it does not run yet and gives what its env file says. The test is skipped, or fails where
// RIFTLINE_REQUIRE asks for it, when this machine can't run it.
func (p *peer) need(t testing.TB) map[string]string {
	t.Helper()
	p.once.Do(func() {
		// Its ports were free when they were chosen; somebody may have been quicker.
		for range 3 {
			if p.failed = p.start(); p.failed == nil || p.lacks != "" {
				return
			}
		}
	})
	if p.lacks != "" {
		require.Skip(t, p.what, p.lacks)
	}
	if p.failed != nil {
		t.Fatal(p.failed)
	}
	return p.vars
}

func (p *peer) start() error {
	dir, err := os.MkdirTemp(work, strings.TrimSuffix(p.script, ".sh")+"-")
	if err != nil {
		return err
	}
	return p.startIn(dir)
}

// restart stops the peer and starts it again with its data and its ports.
func (p *peer) restart(t testing.TB) {
	t.Helper()
	p.stop()
	if err := p.startIn(p.dir); err != nil {
		t.Fatal(err)
	}
}

func (p *peer) startIn(dir string) error {
	cmd := exec.Command(filepath.Join(root, "scripts", p.script), append([]string{"run", "--dir", dir}, p.args...)...)
	cmd.Env = append(os.Environ(), "RIFTLINE_UNTIL_EOF=1")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	var said bytes.Buffer
	cmd.Stderr = &said
	ownGroup(cmd)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", p.script, err)
	}
	p.ended = make(chan struct{})
	ready := make(chan bool, 1)
	var waited error
	go func() {
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			if lines.Text() == "ready" {
				ready <- true
			}
		}
		waited = cmd.Wait()
		close(p.ended)
	}()
	select {
	case <-ready:
	case <-p.ended:
		if exit := (*exec.ExitError)(nil); errors.As(waited, &exit) && exit.ExitCode() == 75 {
			p.lacks = strings.TrimSpace(said.String())
			return waited
		}
		return fmt.Errorf("%s: %w\n%s", p.script, waited, said.String())
	case <-time.After(10 * time.Minute):
		killGroup(cmd)
		return fmt.Errorf("%s was not ready after ten minutes", p.script)
	}
	vars, err := os.ReadFile(filepath.Join(dir, "env"))
	if err != nil {
		return err
	}
	p.dir, p.stdin, p.vars = dir, stdin, map[string]string{}
	for line := range strings.SplitSeq(string(vars), "\n") {
		if name, value, ok := strings.Cut(line, "="); ok {
			p.vars[name] = value
		}
	}
	return nil
}

func (p *peer) stop() {
	if p.stdin == nil {
		return
	}
	_ = p.stdin.Close()
	<-p.ended
}

// script runs a script of ours to its end and gives its standard output; exit status 75 means that this machine can't.
func script(t testing.TB, what, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(root, "scripts", name), args...)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() == 75 {
		require.Skip(t, what, strings.TrimSpace(said.String()))
	}
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out.String(), said.String())
	}
	return out.String()
}

// python runs a program of testdata with the libraries of scripts/requirements.txt.
func python(t testing.TB, program string, args ...string) string {
	t.Helper()
	return script(t, "python", "python.sh", append([]string{filepath.Join(root, "scripts/e2e/testdata", program)}, args...)...)
}

// kafkaTool runs one of Kafka's own command line programs.
func kafkaTool(t testing.TB, args ...string) string {
	t.Helper()
	return script(t, "kafka", "kafka.sh", append([]string{"tool"}, args...)...)
}
