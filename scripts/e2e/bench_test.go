//go:build unix

package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The benchmark runs, with sizes of which no figure means anything: all its drains archive every record, in the objects
// that they should, and each part writes its table.
func TestBenchmark(t *testing.T) {
	t.Parallel()
	broker := kafka.need(t)["BOOTSTRAP"]
	out := t.TempDir()
	benchmark(t, out, broker)
	data, err := os.ReadFile(filepath.Join(out, "bench.json"))
	if err != nil {
		t.Fatal(err)
	}
	var report struct {
		Sections []struct {
			Name  string
			Rows  [][]string
			Goals []struct{ Goal, Figure string }
		}
	}
	if err := json.Unmarshal(data, &report); err != nil {
		t.Fatal(err)
	}
	rows := map[string]int{"ladder": 10, "matches": 10, "compressors": 6, "memory": 4, "peers": 6, "objects": 3, "kill": 2, "poll": 2}
	for _, s := range report.Sections {
		if len(s.Rows) != rows[s.Name] {
			t.Errorf("part %s has %d rows, want %d: %v", s.Name, len(s.Rows), rows[s.Name], s.Rows)
		}
		if len(s.Goals) == 0 && s.Name != "compressors" {
			t.Errorf("part %s says nothing of goals", s.Name)
		}
		delete(rows, s.Name)
	}
	if len(rows) > 0 {
		t.Errorf("the report lacks %v", rows)
	}
	if _, err := os.Stat(filepath.Join(out, "bench.md")); err != nil {
		t.Error(err)
	}
}

// benchmark runs the program with the smallest sizes.
func benchmark(t *testing.T, out, broker string) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "bench")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "./scripts/bench")
	build.Dir = root
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	cmd := exec.CommandContext(t.Context(), binary)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "BENCH_RECORDS=4000", "BENCH_RUNS=1", "BENCH_KILLS=1", "BENCH_OUT="+out, "BENCH_BROKER="+broker, "BENCH_SINK="+plain.path(t, "sink"))
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
}
