package environment

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"time"

	"github.com/riftline/riftline/shared/bucket"
	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/httpsource"
	"github.com/riftline/riftline/shared/logging"
	"github.com/riftline/riftline/shared/poll"
	"github.com/riftline/riftline/shared/secret"
)

// DefaultPollDeadline is how long a poll may take unless RIFTLINE_DEADLINE says otherwise.
const DefaultPollDeadline = 60 * time.Second

// Poll polls the source connector of that name once, and logs the summary in one line. The error is nil exactly when
// the summary's outcome is no failure; neither holds a credential.
func (e *Environment) Poll(ctx context.Context, name string, variables map[string]string) (poll.Summary, error) {
	began := time.Now()
	deadline := e.Deadline
	if deadline == 0 {
		deadline = DefaultPollDeadline
	}
	ctx, cancel := context.WithDeadline(ctx, began.Add(deadline))
	defer cancel()
	ctx = e.WithLog(ctx)
	var summary poll.Summary
	c, err := e.sourceFile(ctx, name, variables)
	if err == nil {
		summary, err = e.poll(ctx, c, variables)
	}
	if err != nil && summary.Outcome == "" {
		summary = poll.Failed(name, variables, err, time.Now())
		summary.Duration = time.Since(began)
		summary.DurationMS = summary.Duration.Milliseconds()
	}
	summary.Error = e.Secrets.Scrub(summary.Error)
	for i := range summary.Units {
		summary.Units[i].Error = e.Secrets.Scrub(summary.Units[i].Error)
		logSummary(ctx, summary.Units[i])
	}
	err = e.scrub(err)
	logSummary(ctx, summary, e.oldestKey(ctx, c)...)
	return summary, err
}

// WithLog returns a context with the environment's logger, unless ctx carries one already.
func (e *Environment) WithLog(ctx context.Context) context.Context {
	if logging.From(ctx).Enabled(ctx, slog.LevelError) {
		return ctx
	}
	return logging.With(ctx, e.Log)
}

// sourceFile finds the connector file of a source that has a use for the variables. What a person must set right is
// Refused, before a secret is read for it.
func (e *Environment) sourceFile(ctx context.Context, name string, variables map[string]string) (connector.Connector, error) {
	c, err := e.Connector(ctx, name)
	if errors.Is(err, ErrNoConnector) {
		return c, poll.Fail(poll.Refused, err)
	}
	if err != nil {
		return c, err
	}
	if c.Kind != connector.SourceKind {
		return c, poll.Fail(poll.Refused, fmt.Errorf("connector %s is a %s and cannot be polled", name, c.Kind))
	}
	for _, variable := range slices.Sorted(maps.Keys(variables)) {
		if !c.Uses(variable) {
			return c, poll.Fail(poll.Refused, fmt.Errorf("connector %s has no template that uses ${var.%.64s}: send no such variable", name, variable))
		}
	}
	return c, nil
}

// poll returns a summary without outcome when the poll could not begin.
func (e *Environment) poll(ctx context.Context, c connector.Connector, variables map[string]string) (poll.Summary, error) {
	s, err := e.source(ctx, c)
	if err != nil {
		return poll.Summary{}, err
	}
	deps, err := e.pollDeps(ctx, c)
	if err != nil {
		return poll.Summary{}, err
	}
	return poll.RunAll(ctx, s, variables, deps)
}

// source resolves a connector's references. What a person must set right is Refused, everything else is a secret store
// that did not answer.
func (e *Environment) source(ctx context.Context, c connector.Connector) (connector.Source, error) {
	s, err := c.Source(ctx, e.Worker, e.Secrets, connector.CheckOptions{Local: e.Local})
	var invalid *connector.Invalid
	switch {
	case err == nil:
		return s, nil
	case errors.As(err, &invalid), errors.Is(err, secret.ErrNotFound), errors.Is(err, secret.ErrDenied):
		return s, poll.Fail(poll.Refused, err)
	}
	return s, poll.Fail(poll.Unavailable, fmt.Errorf("resolving connector %s: %w", c.Name, err))
}

func (e *Environment) pollDeps(ctx context.Context, c connector.Connector) (poll.Deps, error) {
	deps := e.PollDeps
	if deps.Offsets == nil {
		b, err := e.State(ctx)
		if err != nil {
			return deps, err
		}
		deps.Offsets = b
	}
	if deps.NewFetcher == nil {
		deps.NewFetcher = func(s connector.Source) (poll.Fetcher, error) {
			return httpsource.New(s, httpsource.Options{
				Resolve: e.Resolve, RootCAs: e.RootCAs, UserAgent: "riftline/" + Version, Limits: &e.limits, Scrub: e.Secrets.Scrub,
			})
		}
	}
	if deps.Refresh == nil {
		deps.Refresh = func(ctx context.Context) (connector.Source, bool, error) {
			changed, err := c.RefreshSecrets(ctx, e.Secrets)
			if err != nil || !changed {
				return connector.Source{}, false, err
			}
			s, err := c.Source(ctx, e.Worker, e.Secrets, connector.CheckOptions{Local: e.Local})
			return s, err == nil, err
		}
	}
	return deps, nil
}

func logSummary(ctx context.Context, s poll.Summary, more ...slog.Attr) {
	level := slog.LevelInfo
	switch {
	case s.Outcome == poll.Deferred, s.Outcome == poll.Unavailable:
		level = slog.LevelWarn
	case s.Outcome.Failed():
		level = slog.LevelError
	}
	attrs := []slog.Attr{
		slog.String("connector", s.Connector), slog.String("run", s.Run), slog.String("outcome", string(s.Outcome)),
		slog.String("topic", s.Topic), slog.Int("fetched", s.Fetched), slog.Int("new", s.New), slog.Int("changed", s.Changed),
		slog.Int("unchanged", s.Unchanged), slog.Int("left", s.Left), slog.Int("published", s.Published),
		slog.Int("keyless", s.Keyless), slog.Int("repeated", s.Repeated), slog.Int("only_new_fields", s.OnlyNewFields),
		slog.Int64("bytes", s.Bytes), slog.Int64("duration_ms", s.DurationMS), slog.Bool("exactly_once", s.ExactlyOnce),
	}
	if len(s.Variables) > 0 {
		attrs = append(attrs, slog.Any("variables", s.Variables))
	}
	if s.Tombstones > 0 {
		attrs = append(attrs, slog.Int("tombstones", s.Tombstones))
	}
	if len(s.Units) > 0 {
		attrs = append(attrs, slog.Int("units", len(s.Units)), slog.Int("units_left", s.UnitsLeft))
	}
	if s.Recovered != "" {
		attrs = append(attrs, slog.String("recovered", s.Recovered))
	}
	if !s.RetryAfter.IsZero() {
		attrs = append(attrs, slog.Time("retry_after", s.RetryAfter))
	}
	if s.Error != "" {
		attrs = append(attrs, slog.String("error", s.Error))
	}
	logging.From(ctx).LogAttrs(ctx, level, "poll", append(attrs, more...)...)
}

// Ready dials the brokers of CONNECT_BOOTSTRAP_SERVERS, one of which must take a connection, and reads from the state
// bucket, where polls keep their source offset objects: a poller may have no right on the rest of it.
func (e *Environment) Ready(ctx context.Context) error {
	b, err := e.State(ctx)
	if err == nil {
		// The name is never written, so its proven absence is the good answer.
		if _, err = b.Stat(ctx, "poll/ready"); errors.Is(err, bucket.ErrAbsent) {
			err = nil
		}
	}
	return e.scrub(errors.Join(err, e.dialBrokers(ctx)))
}

func (e *Environment) dialBrokers(ctx context.Context) error {
	var errs []error
	for _, address := range e.Brokers {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err == nil {
			return conn.Close()
		}
		errs = append(errs, fmt.Errorf("dialling broker %s: %w", address, err))
	}
	return errors.Join(errs...)
}
