package drain

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/riftline/riftline/shared/bucket"
	"github.com/riftline/riftline/shared/kafka"
	"github.com/riftline/riftline/shared/schema"
)

// StopError says why a partition cannot go on before a person has decided. Its text names the way on.
type StopError struct {
	Topic     string
	Partition int32
	Reason    string
}

// Error implements error.
func (e *StopError) Error() string {
	return fmt.Sprintf("%s/%d is stopped: %s", e.Topic, e.Partition, e.Reason)
}

func (p *partition) stop(format string, args ...any) error {
	return &StopError{Topic: p.topic.Name, Partition: p.number, Reason: fmt.Sprintf(format, args...)}
}

// tooLarge makes a batch that unpacks to more than may be held a reason to stop, which then says when to drain again,
// and what else can be done; any other error stays as it is.
func (p *partition) tooLarge(err error, then string) error {
	var large *kafka.LargeBatchError
	if !errors.As(err, &large) {
		return err
	}
	return p.stop("%v, which is the most that riftline.memory.max.bytes lets a batch have. Set that to %d, or to more if it is not enough, give the process as much memory besides, "+
		"and drain again with `riftline drain %s`%s", err, 2*large.Most, p.sink.Name, then)
}

// pastLarge goes past a batch that cannot be read, if nothing else is between it and the offset and the person says so.
func (p *partition) pastLarge(c Change, large *kafka.LargeBatchError, out *Changed) error {
	if c.Offset > large.Next || !c.Unverified {
		return p.tooLarge(large, fmt.Sprintf("; or, to leave all of its records out, say so with %s. Nothing was written", p.pastLargeCommand(large)))
	}
	out.Found = append(out.Found, fmt.Sprintf("not verified: %v; its records are in no object and are left out", large))
	return nil
}

// pastLargeCommand is the command that goes on after a batch that cannot be read.
func (p *partition) pastLargeCommand(large *kafka.LargeBatchError) string {
	return p.command(string(Set), strconv.FormatInt(large.Next, 10), "--unverified")
}

// command is the command line that goes on after a stop.
func (p *partition) command(verb string, args ...string) string {
	line := fmt.Sprintf("`riftline offsets %s %s %s/%d", verb, p.sink.Name, p.topic.Name, p.number)
	for _, a := range args {
		line += " " + a
	}
	return line + "`"
}

// How a partition's drain ended before its end; nothing failed.
var (
	errAhead       = errors.New("another run is ahead")
	errDeadline    = errors.New("the deadline is reached")
	errInterrupted = errors.New("the drain was told to stop")
)

// errConfiguration marks settings that no run can work with.
var errConfiguration = errors.New("configuration")

// outcomeOf classifies how something ended.
func outcomeOf(err error) Outcome {
	var stop *StopError
	switch {
	case err == nil:
		return Drained
	case errors.As(err, &stop), errors.Is(err, kafka.ErrGroupActive), errors.Is(err, kafka.ErrTopicRecreated):
		return Stopped
	case errors.Is(err, errConfiguration), errors.Is(err, kafka.ErrTopicMissing), errors.Is(err, kafka.ErrAuthentication),
		errors.Is(err, kafka.ErrAuthorization), errors.Is(err, bucket.ErrDenied), errors.Is(err, bucket.ErrNoBucket),
		errors.Is(err, schema.ErrUnauthorized):
		return Misconfigured
	case errors.Is(err, errAhead):
		return AnotherRun
	case errors.Is(err, errDeadline):
		return DeadlineReached
	case errors.Is(err, errInterrupted), errors.Is(err, context.Canceled):
		return Interrupted
	default:
		return Failed
	}
}

// OutcomeOf is the outcome that an error of this package makes, and so the exit code.
func OutcomeOf(err error) Outcome { return outcomeOf(err) }

// severity orders the outcomes from the best to the worst.
func severity(o Outcome) int {
	switch o {
	case NothingNew:
		return 0
	case Drained:
		return 1
	case AnotherRun:
		return 2
	case DeadlineReached:
		return 3
	case Interrupted:
		return 4
	case Failed:
		return 5
	case Misconfigured:
		return 6
	default:
		return 7
	}
}
