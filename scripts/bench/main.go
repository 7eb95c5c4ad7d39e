// Command bench measures what a drain and a poll cost, against a real Kafka broker: make bench. make profile writes
// profiles of both and prints what is at their top.
//
// It starts the broker (scripts/kafka.sh), a bucket, and each thing that is measured as a process of its own, one at a
// time and in turns, and reads processor time and peak memory of each from the system. What it writes to the terminal
// lies as Markdown and JSON in .bench, too.
//
// Nothing here judges how fast the machine is: a figure beside its goal says "reached" or "not reached", and the exit
// status is 0. A record or an object too few or too many, a file that cannot be read, or a process that fails is an
// error: every drain's objects are counted, and for the codec null compared with what was produced, bit by bit.
//
//	BENCH_RECORDS   records of 300 bytes a topic (2,000,000); all other sizes follow it
//	BENCH_RUNS      runs of each variant (3), whose median counts
//	BENCH_KILLS     sinks that are killed (5)
//	BENCH_ONLY      parts to run, separated by commas; the others are taken from the last report: ladder, matches,
//	                compressors, memory, peers, objects, kill, poll
//	BENCH_LARGE     1 makes the long drain of the memory part ten times as long
//	BENCH_BROKER    a broker that runs already (host:port); its processor time is not reported then
//	BENCH_SINK      a sink's binary that is measured instead of one that is built here
//	BENCH_OUT       the folder of the report (.bench)
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// roles are the processes that the benchmark starts of itself, by their first argument.
var roles = map[string]func(ctx context.Context, args []string) error{
	"bucket":   serveBucket,
	"consume":  consume,
	"reencode": reencode,
	"compress": compressAlone,
	"puts":     putAlone,
	"sink":     profiledSink,
	"polls":    pollRepeatedly,
}

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := dispatch(ctx, args)
	switch {
	case errors.Is(err, errUsage):
		return 2
	case err != nil:
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		return 1
	}
	return 0
}

var errUsage = errors.New("usage")

func dispatch(ctx context.Context, args []string) error {
	if len(args) > 0 {
		if role, ok := roles[args[0]]; ok {
			return role(ctx, args[1:])
		}
	}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	profiles := flags.Bool("profile", false, "write profiles of a drain and of a poll instead of measuring")
	if err := flags.Parse(args); err != nil || flags.NArg() > 0 {
		return errUsage
	}
	s, err := readSettings(os.Getenv)
	if err != nil {
		return err
	}
	b, err := newBench(ctx, s)
	if err != nil {
		return err
	}
	if *profiles {
		err = b.profile(ctx)
	} else {
		err = b.measure(ctx)
	}
	return errors.Join(err, b.close())
}
