package poll

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/riftline/riftline/shared/bucket"
	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/connector/template"
	"github.com/riftline/riftline/shared/httpsource"
	"github.com/riftline/riftline/shared/kafka"
	"github.com/riftline/riftline/shared/schema"
	"github.com/riftline/riftline/shared/secret"
	"github.com/riftline/riftline/shared/sourceoffset"
)

// failure is an error that knows how the poll ends by it.
type failure struct {
	outcome    Outcome
	retryAfter time.Time
	err        error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func failed(o Outcome, format string, args ...any) error {
	return &failure{outcome: o, err: fmt.Errorf(format, args...)}
}

// Fail returns an error that makes a poll end with the given outcome.
func Fail(o Outcome, err error) error { return &failure{outcome: o, err: err} }

// Failed is the summary of a poll that could not begin because of err.
func Failed(connectorName string, variables map[string]string, err error, now time.Time) Summary {
	s := Summary{Connector: connectorName, Variables: variables, ExactlyOnce: true, Error: err.Error()}
	s.Outcome, s.RetryAfter = outcomeOf(err, now)
	return s
}

// errLeave ends a run that another run is ahead of. It is no failure.
var errLeave = errors.New("another run is ahead")

func leave(why string) error { return fmt.Errorf("%w: %s", errLeave, why) }

// retryWhenDown is what a trigger is told when a peer is down and nothing says for how long.
const retryWhenDown = 30 * time.Second

// outcomeOf tells how a poll ends that ended with err.
func outcomeOf(err error, now time.Time) (Outcome, time.Time) {
	var f *failure
	if errors.As(err, &f) {
		if f.outcome == Unavailable && f.retryAfter.IsZero() {
			return f.outcome, now.Add(retryWhenDown)
		}
		return f.outcome, f.retryAfter
	}
	var (
		deferred     *httpsource.DeferredError
		unauthorized *httpsource.UnauthorizedError
		upstream     *httpsource.UpstreamError
		body         *httpsource.BodyError
		invalid      *connector.Invalid
	)
	switch {
	case errors.Is(err, errLeave), errors.Is(err, bucket.ErrLost):
		return AnotherRun, time.Time{}
	case isAny(err, httpsource.ErrRedirected, connector.ErrVariables, template.ErrValue):
		return Refused, time.Time{}
	case errors.As(err, &deferred):
		return Deferred, deferred.Until
	case errors.As(err, &unauthorized):
		return Unauthorized, time.Time{}
	case errors.As(err, &upstream), errors.As(err, &body):
		return Upstream, time.Time{}
	case isAny(err, sourceoffset.ErrDamaged, sourceoffset.ErrForeign, sourceoffset.ErrNewer, kafka.ErrTopicRecreated):
		return Stopped, time.Time{}
	case errors.Is(err, kafka.ErrUnknownOutcome):
		return Unknown, time.Time{}
	case isAny(err, schema.ErrIncompatible, schema.ErrUnmergeable):
		return SchemaRefused, time.Time{}
	case errors.As(err, &invalid), isAny(err, kafka.ErrTopicMissing, kafka.ErrAuthentication, kafka.ErrAuthorization,
		kafka.ErrTransactionsRefused, kafka.ErrIdempotenceRefused, bucket.ErrDenied, bucket.ErrNoBucket, schema.ErrUnauthorized,
		secret.ErrNotFound, secret.ErrDenied):
		return Refused, time.Time{}
	case isAny(err, kafka.ErrUnreachable, kafka.ErrNotCommitted, schema.ErrUnavailable, bucket.ErrUnknown,
		bucket.ErrThrottled, bucket.ErrUnavailable, context.DeadlineExceeded, context.Canceled):
		return Unavailable, now.Add(retryWhenDown)
	}
	return Unknown, time.Time{}
}

func isAny(err error, targets ...error) bool {
	for _, t := range targets {
		if errors.Is(err, t) {
			return true
		}
	}
	return false
}
