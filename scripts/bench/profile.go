package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/metrics"
	"runtime/pprof"
	"time"

	"github.com/riftline/riftline/functions/sink"
)

var errExit = errors.New("the sink did not end with 0")

// profiledSink is the role "sink": the sink job as it is, in a process that profiles itself. The deployed binary has
// nothing of it.
func profiledSink(_ context.Context, args []string) error {
	flags := flag.NewFlagSet("sink", flag.ContinueOnError)
	path := flags.String("profile", "", "")
	if flags.Parse(args) != nil {
		return errUsage
	}
	stop, err := profileTo(*path)
	if err != nil {
		return err
	}
	defer stop()
	os.Args = os.Args[:1]
	if code := sink.Main(); code != 0 {
		return fmt.Errorf("%w but %d", errExit, code)
	}
	return nil
}

// watchHeap returns a function that ends the watch and gives the heap profile of the moment at which most was in use.
func watchHeap() func() []byte {
	done := make(chan struct{})
	found := make(chan []byte)
	go func() {
		sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		var most uint64
		var profile bytes.Buffer
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				found <- profile.Bytes()
				return
			case <-tick.C:
			}
			metrics.Read(sample)
			// A profile at each small step up would be most of what is profiled.
			if n := sample[0].Value.Uint64(); n > most+most/8 {
				most = n
				profile.Reset()
				_ = pprof.Lookup("heap").WriteTo(&profile, 0)
			}
		}
	}()
	return func() []byte { close(done); return <-found }
}

// profile writes profiles of a drain of each codec and of polls, and prints what is at their top.
func (b *bench) profile(ctx context.Context) error {
	if err := os.MkdirAll(b.out, 0o750); err != nil {
		return err
	}
	out, err := filepath.Abs(b.out)
	if err != nil {
		return err
	}
	for _, kindName := range []string{"ladder", "matches"} {
		if !b.wanted(kindName) {
			continue
		}
		records := b.records
		if kindName == "matches" {
			records = max(records/100, 100)
		}
		t, err := b.produce(ctx, kindName, records, 1)
		if err != nil {
			return err
		}
		for _, codec := range []string{"null", "zstandard"} {
			path := filepath.Join(out, "drain-"+kindName+"-"+codec)
			u, err := b.drain(ctx, drain{topic: t, codec: codec}, b.role("sink", "-profile", path)...)
			if err != nil {
				return err
			}
			fmt.Printf("\n== drain of %d records (%s), codec %s: %.2f s, %.2f CPU s\n", records, kindName, codec, u.Wall.Seconds(), u.CPU.Seconds())
			if err := printTop(ctx, path); err != nil {
				return err
			}
		}
		if err := b.remove(ctx, t); err != nil {
			return err
		}
	}
	if !b.wanted("poll") {
		return nil
	}
	path := filepath.Join(out, "poll")
	p, _, err := b.poll(ctx, path)
	if err != nil {
		return err
	}
	fmt.Printf("\n== %d polls of %d changed entries: %.2f s, %.2f CPU s\n", p.Polls, p.Entries/p.Polls, p.Wall.Seconds(), p.CPU.Seconds())
	return printTop(ctx, path)
}

// printTop shows what go tool pprof has at the top of each profile.
func printTop(ctx context.Context, path string) error {
	for _, what := range []struct{ name, flag string }{{"cpu", "-cum=false"}, {"heap", "-inuse_space"}, {"allocs", "-alloc_space"}} {
		file := path + "." + what.name + ".pprof"
		cmd := exec.CommandContext(ctx, "go", "tool", "pprof", "-top", "-nodecount=25", what.flag, file)
		text, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("go tool pprof %s: %w\n%s", file, err, text)
		}
		fmt.Printf("\n-- %s\n%s", file, text)
	}
	return nil
}
