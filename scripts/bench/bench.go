package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/riftline/riftline/shared/local/registry"
)

// settings are what the environment asks for.
type settings struct {
	records, runs, kills int
	large                bool
	only                 []string
	broker, sink, out    string
}

func readSettings(getenv func(string) string) (settings, error) {
	s := settings{records: 2_000_000, runs: 3, kills: 5, large: getenv("BENCH_LARGE") == "1", broker: getenv("BENCH_BROKER"), sink: getenv("BENCH_SINK"), out: ".bench"}
	if out := getenv("BENCH_OUT"); out != "" {
		s.out = out
	}
	for name, to := range map[string]*int{"BENCH_RECORDS": &s.records, "BENCH_RUNS": &s.runs, "BENCH_KILLS": &s.kills} {
		text := getenv(name)
		if text == "" {
			continue
		}
		n, err := strconv.Atoi(strings.ReplaceAll(text, "_", ""))
		if err != nil || n < 1 {
			return s, fmt.Errorf("%s=%q is no number of at least 1", name, text)
		}
		*to = n
	}
	for name := range strings.SplitSeq(getenv("BENCH_ONLY"), ",") {
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		if !slices.ContainsFunc(parts, func(p part) bool { return p.name == name }) {
			return s, fmt.Errorf("BENCH_ONLY: there is no part %q", name)
		}
		s.only = append(s.only, name)
	}
	return s, nil
}

// bench is one run of the benchmark with everything that it has started.
type bench struct {
	settings
	// id keeps the names of topics apart on a broker that others use too, dir holds all that is temporary.
	id  int
	dir string
	// self is this program, whose roles run as processes.
	self string

	broker   *broker
	bucket   *bucketProcess
	registry *registry.Registry
	topics   int
	drains   int
	report   *report
}

// bucketProcess is the role "bucket".
type bucketProcess struct {
	url   string
	pid   int
	stdin io.Closer
	cmd   *exec.Cmd
}

func newBench(ctx context.Context, s settings) (_ *bench, err error) {
	b := &bench{settings: s, id: os.Getpid(), broker: &broker{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()
	if _, err := os.Stat(filepath.Join("scripts", "kafka.sh")); err != nil {
		return b, fmt.Errorf("run it in the repository's folder: %w", err)
	}
	if b.self, err = os.Executable(); err != nil {
		return b, err
	}
	if b.dir, err = os.MkdirTemp("", "riftline-bench-"); err != nil {
		return b, err
	}
	if err := b.build(ctx); err != nil {
		return b, err
	}
	if b.broker = (&broker{address: s.broker, version: "a broker that ran already", pinned: "not pinned"}); s.broker == "" {
		b.broker = &broker{}
		started, err := startBroker(ctx, filepath.Join(b.dir, "kafka"))
		if err != nil {
			return b, err
		}
		b.broker = started
	}
	if b.registry, err = registry.New(registry.Options{}); err != nil {
		return b, err
	}
	if b.bucket, err = b.startBucket(ctx); err != nil {
		return b, err
	}
	b.report = newReport(ctx, b)
	return b, b.makeBucket(ctx, stateBucket)
}

const stateBucket = "bench-state"

func (b *bench) startBucket(ctx context.Context) (*bucketProcess, error) {
	cmd := exec.CommandContext(ctx, b.self, "bucket")
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the bucket: %w", err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("the bucket did not start: %w", errors.Join(err, stdin.Close(), cmd.Wait()))
	}
	return &bucketProcess{url: strings.TrimSpace(line), pid: cmd.Process.Pid, stdin: stdin, cmd: cmd}, nil
}

// close ends everything and removes what is temporary.
func (b *bench) close() error {
	var errs []error
	if b.bucket != nil {
		errs = append(errs, b.bucket.stdin.Close(), b.bucket.cmd.Wait())
	}
	if b.registry != nil {
		errs = append(errs, b.registry.Close())
	}
	errs = append(errs, b.broker.close())
	if b.dir != "" {
		errs = append(errs, os.RemoveAll(b.dir))
	}
	return errors.Join(errs...)
}

// part is a section of the report.
type part struct {
	name string
	run  func(b *bench, ctx context.Context) (section, error)
}

// parts in the order of the report.
var parts = []part{
	{"ladder", (*bench).ladder},
	{"matches", (*bench).matches},
	{"compressors", (*bench).compressors},
	{"memory", (*bench).memory},
	{"peers", (*bench).peers},
	{"objects", (*bench).thousandObjects},
	{"kill", (*bench).kill},
	{"poll", (*bench).polls},
}

// wanted says whether a part was asked for.
func (b *bench) wanted(part string) bool { return len(b.only) == 0 || slices.Contains(b.only, part) }

// measure runs the parts that are asked for and writes the report after each of them.
func (b *bench) measure(ctx context.Context) error {
	if err := b.report.load(b.out, b.only); err != nil {
		return err
	}
	for _, p := range parts {
		if !b.wanted(p.name) {
			continue
		}
		b.say("%s …", p.name)
		s, err := p.run(b, ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		s.Name = p.name
		b.report.set(s)
		if err := b.report.write(b.out); err != nil {
			return err
		}
	}
	fmt.Println(b.report.markdown())
	return nil
}

// say tells how far it is.
func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...)
}
