//go:build unix

// Package e2e runs riftline's binaries as separate processes against real peers: Apache Kafka, a schema registry with
// Confluent's API, the Pub/Sub emulator, and Avro readers of others. Only Cloud Storage and the Riot API are stand-ins,
// the strict ones of shared/local.
//
// Each peer is started once, by the first test that needs it. Tests use topics, buckets and connector names of their
// own and run in parallel. RIFTLINE_LONG=1 adds the tests that take longer.
package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

var (
	// root is the repository's folder, work a temporary one that is kept when a test fails.
	root string
	work string
)

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	var err error
	if root, err = filepath.Abs("../.."); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if work, err = os.MkdirTemp("", "riftline-e2e-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() {
		for _, p := range peers {
			p.stop()
		}
	}()
	code := m.Run()
	if code == 0 {
		_ = os.RemoveAll(work)
	} else {
		fmt.Fprintln(os.Stderr, "the logs of all processes are kept in", work)
	}
	return code
}

func long() bool { return os.Getenv("RIFTLINE_LONG") != "" }

// binaries are built once each, by the first test that needs them.
var (
	plain = build{}
	steps = build{tags: "steps"}
)

type build struct {
	tags string

	mu    sync.Mutex
	built map[string]error
}

var mains = map[string]string{"poller": "./functions/poller/cmd", "sink": "./functions/sink/cmd", "riftline": "./scripts/riftline"}

// path gives a binary by its name: poller, sink or riftline.
func (b *build) path(t testing.TB, name string) string {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	file := filepath.Join(work, "bin-"+b.tags, name)
	err, done := b.built[name]
	if !done {
		// As in the images, with which most of the compiled packages are shared.
		cmd := exec.Command("go", "build", "-trimpath", "-tags", b.tags, "-o", file, mains[name])
		cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
		if out, failed := cmd.CombinedOutput(); failed != nil {
			err = fmt.Errorf("building %s: %w\n%s", mains[name], failed, out)
		}
		if b.built == nil {
			b.built = map[string]error{}
		}
		b.built[name] = err
	}
	if err != nil {
		t.Fatal(err)
	}
	return file
}
