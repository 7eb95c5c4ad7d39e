package environment

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/poll"
)

// DefaultRebuildDeadline is how long reading a whole topic may take unless RIFTLINE_DEADLINE says otherwise.
const DefaultRebuildDeadline = 10 * time.Minute

// Offsets shows or changes what is known of a source connector. The error is nil exactly when it was done; the report
// holds no credential, and its exit code is set in any case.
func (e *Environment) Offsets(ctx context.Context, name string, q poll.OffsetsRequest) (poll.OffsetsReport, error) {
	deadline := e.Deadline
	switch {
	case deadline != 0:
	case q.Verb == poll.Rebuild:
		deadline = DefaultRebuildDeadline
	default:
		deadline = DefaultPollDeadline
	}
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	report, err := e.offsets(e.WithLog(ctx), name, q)
	if err != nil && report.Connector == "" {
		failed := poll.Failed(name, q.Variables, err, time.Now())
		report = poll.OffsetsReport{Connector: name, Variables: q.Variables, ExitCode: failed.Outcome.ExitCode(), Error: failed.Error}
	}
	report.Error, report.Refused = e.Secrets.Scrub(report.Error), e.Secrets.Scrub(report.Refused)
	for i := range report.Units {
		u := &report.Units[i]
		u.Error, u.Refused = e.Secrets.Scrub(u.Error), e.Secrets.Scrub(u.Refused)
	}
	return report, e.scrub(err)
}

func (e *Environment) offsets(ctx context.Context, name string, q poll.OffsetsRequest) (poll.OffsetsReport, error) {
	c, err := e.Connector(ctx, name)
	if errors.Is(err, ErrNoConnector) {
		return poll.OffsetsReport{}, poll.Fail(poll.Refused, err)
	}
	if err != nil {
		return poll.OffsetsReport{}, err
	}
	if c.Kind != connector.SourceKind {
		return poll.OffsetsReport{}, poll.Fail(poll.Refused, fmt.Errorf("connector %s is a %s, and has no source offsets", name, c.Kind))
	}
	s, err := e.source(ctx, c)
	if err != nil {
		return poll.OffsetsReport{}, err
	}
	deps, err := e.pollDeps(ctx, c)
	if err != nil {
		return poll.OffsetsReport{}, err
	}
	return poll.OperateAll(ctx, s, deps, q)
}
