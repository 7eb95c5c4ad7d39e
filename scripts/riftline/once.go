package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/riftline/riftline/functions/environment"
	"github.com/riftline/riftline/shared/logging"
)

func (a *app) pollCommand() *cobra.Command {
	var variables []string
	c := &cobra.Command{
		Use:   "poll NAME",
		Short: "Poll one source once, as the function does when it is triggered",
		Long: `poll does what the poller function does when it is triggered, here and now, with the same environment: the connector
file NAME.json under RIFTLINE_CONNECTORS, the state under RIFTLINE_STATE, the CONNECT_* settings. It prints the summary
that the trigger would get.

Another run of the same source, here or in the cloud, is no danger: one of them publishes a change.`,
		Example: `  export RIFTLINE_CONNECTORS=infra/connectors RIFTLINE_STATE=gs://my-state/riftline
  export CONNECT_BOOTSTRAP_SERVERS=kafka:9092 CONNECT_VALUE_CONVERTER_SCHEMA_REGISTRY_URL=http://registry:8081
  riftline poll challenger`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			given, err := pairs(variables)
			if err != nil {
				return err
			}
			return a.once(c.Context(), func(ctx context.Context, e *environment.Environment) (any, int, error) {
				s, err := e.Poll(ctx, args[0], given)
				return s, s.Outcome.ExitCode(), err
			})
		},
	}
	c.Flags().StringArrayVar(&variables, "variable", nil, "`NAME=VALUE`, a request variable as a trigger gives it (may be repeated)")
	return c
}

func (a *app) drainCommand() *cobra.Command {
	var task, tasks int
	c := &cobra.Command{
		Use:   "drain NAME",
		Short: "Drain one sink's topics once, as the job does",
		Long: `drain does what the sink job does, here and now, with the same environment: the connector file NAME.json under
RIFTLINE_CONNECTORS, the state under RIFTLINE_STATE, the CONNECT_* settings. It ends when everything that the topics held
at the start is archived, and prints a summary.

Another run of the same sink, here or in the cloud, is no danger: each record ends in one object.`,
		Example: `  riftline drain gcs-sink
  riftline drain gcs-sink --task 1 --tasks 4    # the second quarter of the partitions`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if tasks < 1 || task < 0 || task >= tasks {
				return usage("--task must be from 0 to --tasks less one, and is %d of %d", task, tasks)
			}
			return a.once(c.Context(), func(ctx context.Context, e *environment.Environment) (any, int, error) {
				s, err := e.Drain(ctx, args[0], task, tasks)
				return s, s.Outcome.ExitCode(), err
			})
		},
	}
	c.Flags().IntVar(&task, "task", 0, "which task this is, from 0")
	c.Flags().IntVar(&tasks, "tasks", 1, "how many tasks share the partitions")
	return c
}

// once runs one poll or drain in the environment of the process.
func (a *app) once(ctx context.Context, run func(context.Context, *environment.Environment) (any, int, error)) error {
	e, err := environment.Read(a.environ)
	if err != nil {
		return &failure{exitUsage, err}
	}
	ctx = a.logger(ctx, e.Secrets.Scrub)
	e.Log = logging.From(ctx)
	summary, code, runErr := run(ctx, e)
	closeErr := e.Close()
	text, err := json.MarshalIndent(summary, "", "  ")
	if err != nil {
		return &failure{exitTransient, fmt.Errorf("printing the summary: %w", err)}
	}
	_, _ = fmt.Fprintf(a.out, "%s\n", text)
	if runErr != nil {
		return &failure{max(code, exitTransient), errors.New(e.Secrets.Scrub(runErr.Error()))}
	}
	if code != exitDone {
		return quiet{code}
	}
	if closeErr != nil {
		return &failure{exitTransient, closeErr}
	}
	return nil
}
