// Command riftline is riftline on the command line: it runs a pipeline on this machine, explains connector files, polls
// and drains once as the functions do, and reads what they wrote.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	secretmanager "cloud.google.com/go/secretmanager/apiv1"
	"github.com/spf13/cobra"

	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/logging"
	"github.com/riftline/riftline/shared/secret"
)

// The exit codes of every command.
const (
	exitDone      = 0
	exitTransient = 1
	exitUsage     = 2
	exitStopped   = 3
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the process at once: state is safe at every instruction.
	context.AfterFunc(ctx, stop)
	code := execute(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Environ())
	stop()
	os.Exit(code)
}

// failure is an error with the exit code that it asks for.
type failure struct {
	code int
	err  error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func usage(format string, args ...any) error {
	return &failure{exitUsage, fmt.Errorf(format, args...)}
}

// quiet ends a command with a code whose reason has been printed already.
type quiet struct{ code int }

func (q quiet) Error() string { return fmt.Sprintf("exit code %d", q.code) }

// app is what all commands share.
type app struct {
	in       io.Reader
	out, err io.Writer
	environ  []string
	// newSecretManager makes the clients with which references are read, one for each location, and import stores values.
	newSecretManager func(ctx context.Context, location string) (*secretmanager.Client, error)
}

func (a *app) getenv(name string) string {
	value, _ := a.lookup(name)
	return value
}

func (a *app) lookup(name string) (string, bool) {
	for i := len(a.environ) - 1; i >= 0; i-- {
		if value, ok := strings.CutPrefix(a.environ[i], name+"="); ok {
			return value, true
		}
	}
	return "", false
}

// logger writes warnings to stderr, each once; with RIFTLINE_LOG_LEVEL, all of what that level lets through.
func (a *app) logger(ctx context.Context, scrub func(string) string) context.Context {
	if a.getenv("RIFTLINE_LOG_LEVEL") != "" {
		return logging.With(ctx, logging.FromEnv(a.err, a.getenv, scrub))
	}
	log := logging.New(a.err, logging.Options{Level: slog.LevelWarn, Scrub: scrub})
	return logging.With(ctx, slog.New(&onceHandler{Handler: log.Handler(), said: &sync.Map{}}))
}

// onceHandler says each warning once, which many polls would repeat, and leaves out the line that sums up a poll or a
// drain, since the command prints that itself.
type onceHandler struct {
	slog.Handler
	said *sync.Map
}

func (h *onceHandler) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == "poll" || r.Message == "drain" {
		return nil
	}
	if r.Level == slog.LevelWarn {
		if _, before := h.said.LoadOrStore(r.Message, true); before {
			return nil
		}
	}
	return h.Handler.Handle(ctx, r)
}

func (h *onceHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &onceHandler{Handler: h.Handler.WithAttrs(attrs), said: h.said}
}

func (h *onceHandler) WithGroup(name string) slog.Handler {
	return &onceHandler{Handler: h.Handler.WithGroup(name), said: h.said}
}

// execute runs one command line and returns its exit code.
func execute(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer, environ []string) int {
	a := &app{in: in, out: out, err: errOut, environ: environ}
	a.newSecretManager = func(ctx context.Context, location string) (*secretmanager.Client, error) {
		return secret.NewGCPClient(ctx, location)
	}
	return a.execute(ctx, args)
}

func (a *app) execute(ctx context.Context, args []string) int {
	root := a.command()
	root.SetArgs(args)
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	ran, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitDone
	}
	var done quiet
	if errors.As(err, &done) {
		return done.code
	}
	_, _ = fmt.Fprintf(a.err, "riftline: %v\n", err)
	var f *failure
	var invalid *connector.Invalid
	switch {
	case errors.As(err, &f):
		return f.code
	case errors.As(err, &invalid):
		return exitUsage
	case errors.Is(err, context.Canceled):
		return exitTransient
	}
	// What is left comes from the command line's own parser.
	_, _ = fmt.Fprintf(a.err, "'%s --help' says what it takes\n", ran.CommandPath())
	return exitUsage
}

func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "riftline",
		Short: "Kafka Connect's HTTP source and GCS sink, serverless",
		Long: `riftline moves what an HTTP API says into Kafka, and what Kafka holds into Avro objects in Cloud Storage. It is told
what to do by the two JSON files that Kafka Connect takes: one for the HTTP source (castorm's), one for the GCS sink
(Confluent's).

A poll asks the API once and publishes what is new or changed, each change once. A drain writes what the topic holds
into objects, each record into one. In the cloud the first is a function and the second a job; here both run in this
process, with stand-ins for whatever is not at hand.`,
		Example: `  # All of it on this machine, with a simulated ladder: nothing to install, no key, no account
  riftline run --simulate --source infra/connectors/challenger.json --sink infra/connectors/gcs-sink.json

  # What does riftline make of my files?
  riftline validate challenger.json gcs-sink.json

  # What is in an object?
  riftline cat '.riftline/gcs/riftline-archive/topics/challenger/partition=0/challenger+0+0000000000.avro'`,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.AddCommand(a.runCommand(), a.validateCommand(), a.pollCommand(), a.drainCommand(), a.offsetsCommand(), a.catCommand(), a.importCommand(), a.fmtCommand(), a.versionCommand())
	root.SetHelpTemplate(root.HelpTemplate() + exitCodes)
	return root
}

const exitCodes = `
Exit codes: 0 done or nothing to do · 1 transient, run it again · 2 configuration or usage · 3 stopped, a person must decide
`
