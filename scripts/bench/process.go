package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// usage is what one run of a process took.
type usage struct {
	// Wall is from exec to exit, CPU the process's own processor time.
	Wall time.Duration `json:"wall_ns"`
	CPU  time.Duration `json:"cpu_ns"`
	// Peak is the most memory that it had (VmHWM), in bytes; 0 where the system does not say.
	Peak int64 `json:"peak_bytes"`
	// Broker and Bucket are the processor time of the peers meanwhile.
	Broker time.Duration `json:"broker_cpu_ns"`
	Bucket time.Duration `json:"bucket_cpu_ns"`
}

// child runs a process to its end. Its output is in the error when it fails; a role's answer is decoded into answer,
// unless nil.
func (b *bench) child(ctx context.Context, env, command []string, answer any) (usage, error) {
	var out, said bytes.Buffer
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + b.dir, "TMPDIR=" + os.TempDir()}, env...)
	cmd.Stdout, cmd.Stderr = &out, &said
	broker, bucket := b.broker.cpu(), cpuOf(b.bucket.pid)
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return usage{}, err
	}
	peak := watchPeak(cmd.Process.Pid)
	err := cmd.Wait()
	u := usage{Wall: time.Since(began), Peak: peak()}
	if err != nil {
		return u, fmt.Errorf("%s: %w\n%s", strings.Join(command, " "), err, said.String())
	}
	u.CPU = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	u.Broker, u.Bucket = b.broker.cpu()-broker, cpuOf(b.bucket.pid)-bucket
	if answer != nil {
		if err := json.Unmarshal(out.Bytes(), answer); err != nil {
			return u, fmt.Errorf("%s answered %q: %w", strings.Join(command, " "), out.String(), err)
		}
	}
	return u, nil
}

// role is the command line of a role of this program.
func (b *bench) role(name string, args ...string) []string {
	return append([]string{b.self, name}, args...)
}

// watchPeak follows a process's peak memory until the returned function is called, after its end. The figure of the
// system's own accounting (ru_maxrss) is of no use: a new process inherits its parent's.
func watchPeak(pid int) func() int64 {
	done := make(chan struct{})
	found := make(chan int64)
	go func() {
		var most int64
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			most = max(most, peakOf(pid))
			select {
			case <-tick.C:
			case <-done:
				found <- most
				return
			}
		}
	}()
	return func() int64 { close(done); return <-found }
}

// peakOf is VmHWM of a process (proc_pid_status(5)), 0 where there is none.
func peakOf(pid int) int64 {
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return 0
	}
	_, rest, ok := strings.Cut(string(data), "VmHWM:")
	if !ok {
		return 0
	}
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	n, err := strconv.ParseInt(fields[0], 10, 64)
	if err != nil {
		return 0
	}
	return n << 10
}

// clockTick is the unit of processor times in /proc on Linux (sysconf(_SC_CLK_TCK)).
const clockTick = 10 * time.Millisecond

// cpuOf is the processor time of a process so far (proc_pid_stat(5), utime and stime); 0 where the system does not say.
func cpuOf(pid int) time.Duration {
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0
	}
	// The name, in brackets, may hold anything.
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	if len(fields) < 13 {
		return 0
	}
	var ticks int64
	for _, text := range fields[11:13] {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return 0
		}
		ticks += n
	}
	return time.Duration(ticks) * clockTick
}

// parentOf is the parent of a process, and its name.
func parentOf(pid int) (parent int, name string) {
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0, ""
	}
	first, last := bytes.IndexByte(data, '('), bytes.LastIndexByte(data, ')')
	if first < 0 || last < first {
		return 0, ""
	}
	fields := strings.Fields(string(data[last+1:]))
	if len(fields) < 2 {
		return 0, ""
	}
	parent, err = strconv.Atoi(fields[1])
	if err != nil {
		return 0, ""
	}
	return parent, string(data[first+1 : last])
}

// build compiles the sink as it is deployed, unless one is given.
func (b *bench) build(ctx context.Context) error {
	if b.sink != "" {
		return nil
	}
	b.sink = filepath.Join(b.dir, "sink")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-tags", "timetzdata", "-o", b.sink, "./functions/sink/cmd")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building the sink: %w\n%s", err, out)
	}
	return nil
}

// answerJSON is how a role gives its answer.
func answerJSON(v any) error { return json.NewEncoder(os.Stdout).Encode(v) }
