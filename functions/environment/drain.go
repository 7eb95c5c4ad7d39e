package environment

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"cloud.google.com/go/storage"
	"google.golang.org/api/option"

	"github.com/riftline/riftline/shared/bucket"
	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/drain"
	"github.com/riftline/riftline/shared/kafka"
	"github.com/riftline/riftline/shared/logging"
	"github.com/riftline/riftline/shared/schema"
)

// saveWithin is how long a drain may go on after its deadline to save what it has read.
const saveWithin = 30 * time.Second

// Drain drains the task's part of the sink connector of that name once, and logs the summary in one line. No name means
// RIFTLINE_CONNECTOR, else the only sink that there is. With RIFTLINE_DEADLINE it saves at the deadline and says how
// much is left. The error is nil exactly when the outcome's exit code is 0; neither holds a credential.
func (e *Environment) Drain(ctx context.Context, name string, task, tasks int) (drain.Summary, error) {
	began := time.Now()
	ctx = e.WithLog(ctx)
	var deadline time.Time
	if e.Deadline > 0 {
		deadline = began.Add(e.Deadline)
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(saveWithin))
		defer cancel()
	}
	var summary drain.Summary
	c, err := e.sinkFile(ctx, name)
	if err == nil {
		summary, err = e.drain(ctx, c, task, tasks, deadline)
	}
	if err != nil && summary.Outcome == "" {
		summary = drain.Misused(name, task, tasks, err)
		summary.Duration = time.Since(began)
		summary.DurationMS = summary.Duration.Milliseconds()
	}
	summary.Error = e.Secrets.Scrub(summary.Error)
	for i := range summary.Partitions {
		p := &summary.Partitions[i]
		p.Error, p.Stopped = e.Secrets.Scrub(p.Error), e.Secrets.Scrub(p.Stopped)
	}
	logDrain(ctx, summary, e.oldestKey(ctx, c)...)
	return summary, e.scrub(err)
}

// drain returns a summary without outcome when the drain could not begin.
func (e *Environment) drain(ctx context.Context, c connector.Connector, task, tasks int, deadline time.Time) (drain.Summary, error) {
	var summary drain.Summary
	err := e.withSink(ctx, c, func(ctx context.Context, s connector.Sink, deps drain.Deps) error {
		deps.Task, deps.Tasks = task, tasks
		if deps.Deadline.IsZero() {
			deps.Deadline = deadline
		}
		var err error
		summary, err = drain.Run(ctx, s, deps)
		return err
	})
	return summary, err
}

// sinkFile finds the connector file of a sink.
func (e *Environment) sinkFile(ctx context.Context, name string) (connector.Connector, error) {
	if name == "" {
		name = e.ConnectorName
	}
	if name != "" {
		c, err := e.Connector(ctx, name)
		var invalid *connector.Invalid
		switch {
		case errors.Is(err, ErrNoConnector), errors.As(err, &invalid):
			return c, drain.Configuration(err)
		case err != nil:
			return c, err
		case c.Kind != connector.SinkKind:
			return c, drain.Configuration(fmt.Errorf("connector %s is no sink and cannot be drained", name))
		}
		return c, nil
	}
	all, err := e.Connectors(ctx)
	switch {
	case errors.Is(err, bucket.ErrUnavailable):
		return connector.Connector{}, err
	case err != nil:
		return connector.Connector{}, drain.Configuration(err)
	}
	var sinks []connector.Connector
	var names []string
	for _, c := range all {
		if c.Kind == connector.SinkKind {
			sinks, names = append(sinks, c), append(names, c.Name)
		}
	}
	switch len(sinks) {
	case 1:
		return sinks[0], nil
	case 0:
		return connector.Connector{}, drain.Configuration(errors.New("there is no sink connector file in RIFTLINE_CONNECTORS"))
	}
	return connector.Connector{}, drain.Configuration(fmt.Errorf("there are several sinks (%s): name one, as the argument or in RIFTLINE_CONNECTOR", strings.Join(names, ", ")))
}

// drainDeps makes the clients of one drain that are not given.
func (e *Environment) drainDeps(ctx context.Context, s connector.Sink, deps *drain.Deps) (done func(), err error) {
	done = func() {}
	if deps.Heads == nil {
		if e.StateURL == "" {
			return done, drain.Configuration(errors.New("RIFTLINE_STATE is not set: it names the bucket for state, gs://bucket/prefix"))
		}
		// Making a client asks nobody: what fails is a setting, or credentials that are not there.
		if deps.Heads, err = e.bucket(ctx, e.StateURL); err != nil {
			return done, drain.Configuration(err)
		}
	}
	if deps.Archive == nil {
		client, err := e.archiveClient(ctx, s)
		if err != nil {
			return done, drain.Configuration(err)
		}
		if deps.Archive, err = bucket.Open(client, "gs://"+s.Bucket); err != nil {
			return done, drain.Configuration(err)
		}
	}
	if deps.Schemas == nil {
		if deps.Schemas, err = schema.NewRegistry(s.Registry); err != nil {
			return done, drain.Configuration(err)
		}
	}
	if deps.DeadLetters == nil {
		letters, err := kafka.NewDeadLetters(s.Kafka, logging.From(ctx))
		if err != nil {
			return done, drain.Configuration(err)
		}
		deps.DeadLetters, done = letters, letters.Close
	}
	if deps.Consumer == nil {
		consumer, err := kafka.NewConsumer(s.Kafka, s.Group(), logging.From(ctx))
		if err != nil {
			return done, drain.Configuration(err)
		}
		closeLetters := done
		deps.Consumer, done = consumer, func() { consumer.Close(); closeLetters() }
	}
	return done, nil
}

// archiveClient is the storage client of the data bucket: that of the environment, unless the connector file brings its
// own credentials and the bucket is a real one.
func (e *Environment) archiveClient(ctx context.Context, s connector.Sink) (*storage.Client, error) {
	if s.CredentialsJSON.Empty() || e.Local || e.Getenv("STORAGE_EMULATOR_HOST") != "" {
		return e.Storage(ctx)
	}
	// Only a service account's key is taken: other kinds can make the process send requests, or read files, anywhere.
	var key struct {
		Type string `json:"type"`
	}
	if json.Unmarshal([]byte(s.CredentialsJSON.Reveal()), &key) != nil || key.Type != "service_account" {
		return nil, fmt.Errorf("gcs.credentials of sink %s: not the JSON key of a service account", s.Name)
	}
	client, err := bucket.NewClient(context.WithoutCancel(ctx), option.WithAuthCredentialsJSON(option.ServiceAccount, []byte(s.CredentialsJSON.Reveal())))
	if err != nil {
		return nil, fmt.Errorf("gcs.credentials of sink %s: %w", s.Name, err)
	}
	e.atClose(client.Close)
	return client, nil
}

// logDrain writes the drain's one line, and one for each partition that a person must look at.
func logDrain(ctx context.Context, s drain.Summary, more ...slog.Attr) {
	log := logging.From(ctx)
	for _, p := range s.Partitions {
		if text := p.Stopped + p.Error; text != "" {
			log.ErrorContext(ctx, "partition is not drained", slog.String("connector", s.Connector), slog.String("topic", p.Topic),
				slog.Int("partition", int(p.Partition)), slog.String("outcome", string(p.Outcome)), slog.String("reason", text))
		}
	}
	level := slog.LevelInfo
	if s.Outcome.ExitCode() != 0 {
		level = slog.LevelError
	}
	attrs := []slog.Attr{
		slog.String("connector", s.Connector), slog.String("outcome", string(s.Outcome)),
		slog.Int("task", s.Task), slog.Int("tasks", s.Tasks), slog.Int("partitions", len(s.Partitions)),
		slog.Int64("records", s.Records), slog.Int64("objects", s.Objects), slog.Int64("bytes", s.Bytes),
		slog.Int64("skipped", s.Skipped), slog.Int64("dead_letters", s.DeadLetters), slog.Int64("lost", s.Lost),
		slog.Int64("left", s.Left), slog.Int64("duration_ms", s.DurationMS),
	}
	if s.Error != "" {
		attrs = append(attrs, slog.String("error", s.Error))
	}
	log.LogAttrs(ctx, level, "drain", append(attrs, more...)...)
}
