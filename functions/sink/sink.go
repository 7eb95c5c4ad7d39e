// Package sink is the Cloud Run job that drains a sink connector's topics into Cloud Storage.
//
//	sink [CONNECTOR]
//
// Without an argument it drains RIFTLINE_CONNECTOR, else the only sink in RIFTLINE_CONNECTORS. Of several tasks
// (CLOUD_RUN_TASK_INDEX, CLOUD_RUN_TASK_COUNT) each drains its own topic-partitions. SIGTERM ends it without a new
// plan. Exit codes: 0 done, nothing to do, deadline, or another run ahead; 1 passing, run it again; 2 settings; 3 a
// person must decide.
package sink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"

	"github.com/riftline/riftline/functions/environment"
	"github.com/riftline/riftline/shared/drain"
	"github.com/riftline/riftline/shared/logging"
)

// stopWithin is how long a drain may take to end after SIGTERM. Cloud Run sends SIGKILL after 10 s.
const stopWithin = 8 * time.Second

const usage = `usage: sink [CONNECTOR]

Drains a sink connector's topics into Cloud Storage, once. CONNECTOR is the name of a connector file in
RIFTLINE_CONNECTORS; RIFTLINE_CONNECTOR, or the only sink there, unless given.
`

// Main runs the job with the process's arguments and environment and returns its exit code.
func Main() int {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	defer signal.Stop(signals)
	return run(context.Background(), os.Args[1:], os.Environ(), signals, os.Stderr)
}

func run(ctx context.Context, args, environ []string, signals <-chan os.Signal, stderr io.Writer) int {
	name := ""
	switch {
	case len(args) == 1 && args[0] != "" && args[0][0] != '-':
		name = args[0]
	case len(args) > 0:
		_, _ = io.WriteString(stderr, usage)
		return 2
	}
	env, err := environment.Read(environ)
	if err == nil {
		err = env.Require("RIFTLINE_CONNECTORS", "RIFTLINE_STATE")
	}
	var task, tasks int
	if err == nil {
		task, tasks, err = split(env.Getenv)
	}
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "sink: %v\n", err)
		return drain.Misconfigured.ExitCode()
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if env.Getenv("GOMEMLIMIT") == "" {
		env.DrainDeps.Holds = boundHeap
	}
	env.DrainDeps.Stop = stopOn(env.WithLog(ctx), signals, cancel)
	summary, _ := env.Drain(ctx, name, task, tasks)
	// All clients are idle by now; what closing them says changes nothing.
	_ = env.Close()
	return summary.Outcome.ExitCode()
}

// besides is what a drain's heap has besides records and objects: clients, schemas, what a collection has not found yet.
const besides = 16 << 20

// boundHeap has the runtime collect when the heap comes near to what a drain holds at most, not when it has doubled since
// the last collection: what is fetched becomes garbage within milliseconds, and would fill as much memory again.
func boundHeap(holds int64) {
	debug.SetMemoryLimit(holds + besides)
}

var errTooLate = errors.New("the drain did not end in time after SIGTERM")

// stopOn returns a channel that is closed at the first signal; ctx is cancelled when the drain has not ended soon after.
func stopOn(ctx context.Context, signals <-chan os.Signal, cancel context.CancelCauseFunc) <-chan struct{} {
	stop := make(chan struct{})
	go func() {
		select {
		case <-ctx.Done():
			return
		case s := <-signals:
			close(stop)
			logging.From(ctx).WarnContext(ctx, "stopping: no new plan is made, the one in flight is finished", slog.String("signal", s.String()))
		}
		t := time.NewTimer(stopWithin)
		defer t.Stop()
		select {
		case <-ctx.Done():
		case <-t.C:
			cancel(errTooLate)
		}
	}()
	return stop
}

// split reads which part of the topic-partitions is this task's.
func split(getenv func(string) string) (task, tasks int, err error) {
	tasks = 1
	if text := getenv("CLOUD_RUN_TASK_COUNT"); text != "" {
		if tasks, err = strconv.Atoi(text); err != nil || tasks < 1 {
			return 0, 0, fmt.Errorf("CLOUD_RUN_TASK_COUNT=%q is no number of tasks", text)
		}
	}
	if text := getenv("CLOUD_RUN_TASK_INDEX"); text != "" {
		if task, err = strconv.Atoi(text); err != nil || task < 0 || task >= tasks {
			return 0, 0, fmt.Errorf("CLOUD_RUN_TASK_INDEX=%q is no index of %d tasks", text, tasks)
		}
	}
	return task, tasks, nil
}
