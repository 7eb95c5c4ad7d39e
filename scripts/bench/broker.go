package main

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
	"runtime"
	"strconv"
	"strings"
	"time"
)

// A broker is the Kafka that everything reads from.
type broker struct {
	address string
	// pid is 0 for a broker that ran already; version and pinned say what the report does.
	pid     int
	version string
	pinned  string
	stdin   io.Closer
	ended   chan struct{}
}

// startBroker starts Kafka by the repository's script, on the machine's last processor where that can be said.
func startBroker(ctx context.Context, dir string) (*broker, error) {
	command := []string{filepath.Join("scripts", "kafka.sh"), "run", "--dir", dir, "--set", "auto.create.topics.enable=false"}
	k := &broker{pinned: "not pinned", ended: make(chan struct{})}
	if _, err := exec.LookPath("taskset"); err == nil && runtime.NumCPU() > 1 {
		last := strconv.Itoa(runtime.NumCPU() - 1)
		command = append([]string{"taskset", "-c", last}, command...)
		k.pinned = "on processor " + last
	}
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = append(os.Environ(), "RIFTLINE_UNTIL_EOF=1")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting scripts/kafka.sh: %w", err)
	}
	k.stdin = stdin
	ready := make(chan struct{})
	go func() {
		defer close(k.ended)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			if lines.Text() == "ready" {
				close(ready)
			}
		}
		_ = cmd.Wait()
	}()
	select {
	case <-ready:
	case <-k.ended:
		return nil, fmt.Errorf("scripts/kafka.sh ended: %s", strings.TrimSpace(said.String()))
	}
	env, err := os.ReadFile(filepath.Join(dir, "env"))
	if err != nil {
		return nil, err
	}
	first, _, _ := strings.Cut(string(env), "\n")
	k.address = strings.TrimPrefix(first, "BOOTSTRAP=")
	version, err := os.ReadFile(filepath.Join(dir, "formatted"))
	if err != nil {
		return nil, err
	}
	k.version = "Apache Kafka " + strings.TrimSpace(string(version))
	k.pid = javaBelow(cmd.Process.Pid)
	return k, nil
}

// javaBelow is the Java process that a script has started, 0 where it cannot be told.
func javaBelow(script int) int {
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return 0
	}
	for _, dir := range all {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		if parent, name := parentOf(pid); name == "java" && parent == script {
			return pid
		}
	}
	return 0
}

func (k *broker) cpu() time.Duration {
	if k.pid == 0 {
		return 0
	}
	return cpuOf(k.pid)
}

// close ends the broker, which lives as long as its standard input.
func (k *broker) close() error {
	if k.stdin == nil {
		return nil
	}
	err := k.stdin.Close()
	select {
	case <-k.ended:
	case <-time.After(30 * time.Second):
		return errors.Join(err, errors.New("the broker does not end"))
	}
	return err
}
