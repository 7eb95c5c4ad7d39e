package drain

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riftline/riftline/shared/kafka"
)

// DeadLetters is where records go that are archived nowhere; see [kafka.DeadLetters] for the meaning and the errors of
// each method.
type DeadLetters interface {
	Ready(ctx context.Context, topic string, replication int16) error
	Produce(ctx context.Context, records []*kgo.Record) error
}

// DeadLetterPlan is what of a plan's skipped records goes to a dead-letter topic.
type DeadLetterPlan struct {
	Topic   string  `json:"topic"`
	Offsets []Range `json:"offsets"`
}

// The headers of a dead letter (KIP-298), in the order in which Connect writes them.
const (
	headerTopic      = "__connect.errors.topic"
	headerPartition  = "__connect.errors.partition"
	headerOffset     = "__connect.errors.offset"
	headerConnector  = "__connect.errors.connector.name"
	headerTask       = "__connect.errors.task.id"
	headerStage      = "__connect.errors.stage"
	headerClass      = "__connect.errors.class.name"
	headerException  = "__connect.errors.exception.class.name"
	headerMessage    = "__connect.errors.exception.message"
	headerStacktrace = "__connect.errors.exception.stacktrace"
)

// failure says, in Connect's terms, where a record failed.
type failure struct{ stage, class, exception string }

var (
	// inConverter is a value that is no Avro of a known schema.
	inConverter = failure{"VALUE_CONVERTER", "io.confluent.connect.avro.AvroConverter", "org.apache.kafka.connect.errors.DataException"}
	// inTask is a null value.
	inTask = failure{"TASK_PUT", "org.apache.kafka.connect.sink.SinkTask", "org.apache.kafka.connect.errors.DataException"}
	// inPartitioner is a record that the partitioner finds no place for.
	inPartitioner = failure{"TASK_PUT", "org.apache.kafka.connect.sink.SinkTask", "io.confluent.connect.storage.errors.PartitionException"}
)

// nullReason is what Confluent's sinks report about a null value that they pass over.
const nullReason = "Skipping null value record."

// skipped is what a batch leaves out.
type skipped struct {
	// letters are the dead letters at offsets, in order; none when they were too many to be held.
	letters []*kgo.Record
	offsets []Range
	held    int64
	dropped bool
	// decided says that there is a decision which a plan must record, since is the offset of the first one.
	decided bool
	since   int64
	// bad counts the records that could not be archived; first is the first of them, and why.
	bad    int64
	first  int64
	reason string
}

// placeError is a record that the partitioner finds no place for.
type placeError struct{ *badValueError }

// Unwrap makes it a record that cannot be archived.
func (e placeError) Unwrap() error { return e.badValueError }

// refuse skips a record, if err says that it cannot be archived and the error policy allows to go on without it.
func (a *assembly) refuse(ctx context.Context, r *kgo.Record, err error) bool {
	var bad *badValueError
	if !errors.As(err, &bad) {
		return false
	}
	p := a.p
	policy := p.sink.Errors
	// A null value with behavior.on.null.values=fail fails Confluent's sinks whatever errors.tolerance is.
	if !policy.Tolerate || r.Value == nil {
		return false
	}
	where := inConverter
	if errors.As(err, new(placeError)) {
		where = inPartitioner
	}
	if policy.Log {
		attrs := []slog.Attr{slog.String("stage", where.stage), slog.String("reason", bad.reason)}
		if policy.LogRecord {
			attrs = append(attrs, slog.Int64("offset", r.Offset), slog.Time("timestamp", r.Timestamp), slog.Int("bytes", len(r.Value)))
		}
		p.log(ctx).LogAttrs(ctx, slog.LevelError, "a record cannot be archived and is skipped", attrs...)
	}
	s := &a.b.left
	if s.bad++; s.bad == 1 {
		s.first, s.reason = r.Offset, bad.reason
	}
	s.decide(r.Offset)
	a.deadLetter(r, where, bad.reason)
	a.skip(r.Offset)
	return true
}

// ignoreNull passes over a null value.
func (a *assembly) ignoreNull(r *kgo.Record) {
	if policy := a.p.sink.Errors; policy.Tolerate && policy.NullDeadLetters {
		a.deadLetter(r, inTask, nullReason)
	}
	a.skip(r.Offset)
}

// told passes over a record that a person has decided to skip.
func (a *assembly) told(r *kgo.Record) bool {
	if len(a.decided) == 0 || !within(a.decided, r.Offset) {
		return false
	}
	a.b.left.decide(r.Offset)
	a.skip(r.Offset)
	return true
}

func (a *assembly) deadLetter(r *kgo.Record, where failure, reason string) {
	p := a.p
	topic := p.sink.Errors.DeadLetterTopic
	if topic == "" {
		return
	}
	s := &a.b.left
	s.decide(r.Offset)
	s.offsets = extend(s.offsets, r.Offset)
	if s.dropped {
		return
	}
	// A copy: what was fetched with the record is not to be held.
	letter := p.letter(&kgo.Record{
		Key: bytes.Clone(r.Key), Value: bytes.Clone(r.Value), Headers: cloned(r.Headers), Timestamp: r.Timestamp, Offset: r.Offset,
	}, topic, where, reason)
	s.letters = append(s.letters, letter)
	if s.held += letterCost(r); s.held > p.account.part()/2 {
		s.letters, s.held, s.dropped = nil, 0, true
	}
}

// letterCost is about how many bytes the dead letter of a record holds in memory.
func letterCost(r *kgo.Record) int64 {
	n := len(r.Key) + len(r.Value) + 1024
	for _, h := range r.Headers {
		n += len(h.Key) + len(h.Value)
	}
	return int64(n)
}

func cloned(headers []kgo.RecordHeader) []kgo.RecordHeader {
	out := slices.Clone(headers)
	for i := range out {
		out[i].Value = bytes.Clone(out[i].Value)
	}
	return out
}

// letter makes a record its dead letter: the same key, value, headers and timestamp.
func (p *partition) letter(r *kgo.Record, topic string, where failure, reason string) *kgo.Record {
	offset := r.Offset
	letter := &kgo.Record{Topic: topic, Key: r.Key, Value: r.Value, Headers: r.Headers, Timestamp: r.Timestamp}
	if ms := letter.Timestamp.UnixMilli(); ms < 0 || ms > math.MaxInt64/int64(time.Millisecond) {
		letter.Timestamp = time.Time{} // the producer's clock
	}
	if !p.sink.Errors.DeadLetterHeaders {
		return letter
	}
	for _, h := range [][2]string{
		{headerTopic, p.topic.Name},
		{headerPartition, strconv.FormatInt(int64(p.number), 10)},
		{headerOffset, strconv.FormatInt(offset, 10)},
		{headerConnector, p.sink.Name},
		{headerTask, strconv.Itoa(p.deps.Task)},
		{headerStage, where.stage},
		{headerClass, where.class},
		{headerException, where.exception},
		{headerMessage, reason},
		{headerStacktrace, where.exception + ": " + reason},
	} {
		letter.Headers = append(letter.Headers, kgo.RecordHeader{Key: h[0], Value: []byte(h[1])})
	}
	return letter
}

func (s *skipped) decide(offset int64) {
	if !s.decided {
		s.decided, s.since = true, offset
	}
}

// mustPlan says whether a batch needs a plan for what it leaves out, should it have no object.
func (b *batch) mustPlan() bool { return b.left.decided && b.left.since < b.next }

// flushIfCrowded makes a flush after a record that was left out, when that calls for one or the memory cannot take it.
func (a *assembly) flushIfCrowded(ctx context.Context) error {
	afforded, err := a.afford(ctx)
	if err == nil && (!afforded || a.crowded()) {
		err = a.flush()
	}
	return err
}

// crowded says that no file is open and that what is left out is more than should wait for one: a flush is due.
func (a *assembly) crowded() bool {
	return len(a.order) == 0 && len(a.skipped) > 0 && (a.b.left.dropped || a.b.ranges+a.ranges >= planRanges)
}

// deadLetterPlan is what of a batch's skipped records goes to the dead-letter topic, nil for nothing.
func (p *partition) deadLetterPlan(b *batch) *DeadLetterPlan {
	offsets := before(b.left.offsets, b.next)
	if len(offsets) == 0 {
		return nil
	}
	return &DeadLetterPlan{Topic: p.sink.Errors.DeadLetterTopic, Offsets: offsets}
}

// ready makes sure that a plan's dead letters can go somewhere before the plan is written: it would be in the way of
// all that follows.
func (p *partition) ready(ctx context.Context, plan *DeadLetterPlan) error {
	if plan == nil {
		return nil
	}
	if p.deps.DeadLetters == nil {
		return fmt.Errorf("%w: there is nothing to write dead letters with", errConfiguration)
	}
	return p.deps.DeadLetters.Ready(ctx, plan.Topic, p.sink.Errors.DeadLetterReplication)
}

// report says what a batch leaves out that cannot be archived, once it is recorded.
func (p *partition) report(ctx context.Context, b *batch) {
	if b.left.bad > 0 && !p.sink.Errors.Log {
		p.log(ctx).WarnContext(ctx, "records that cannot be archived were skipped (errors.tolerance=all)",
			slog.Int64("records", b.left.bad), slog.Int64("first", b.left.first), slog.String("reason", b.left.reason), slog.String("dead_letter_topic", p.sink.Errors.DeadLetterTopic))
	}
}

// send writes a plan's dead letters: those that are at hand, or what the topic has at their offsets.
func (p *partition) send(ctx context.Context, plan Plan, letters []*kgo.Record) error {
	if plan.DeadLetters == nil {
		return nil
	}
	if len(letters) == 0 {
		return p.sendAgain(ctx, plan)
	}
	letters = letters[:countOf(plan.DeadLetters.Offsets)]
	if err := p.deps.DeadLetters.Produce(ctx, letters); err != nil {
		return fmt.Errorf("skipping records of %s/%d: %w", p.topic.Name, p.number, err)
	}
	p.sum.DeadLetters += int64(len(letters))
	return nil
}

// sendAgain reads a plan's dead letters from the topic and writes them: each arrives at least once, whoever completes the
// plan. Why a record was skipped is not looked into again: the registry and the configuration may be others by now.
func (p *partition) sendAgain(ctx context.Context, plan Plan) error {
	if err := p.ready(ctx, plan.DeadLetters); err != nil {
		return err
	}
	offsets := plan.DeadLetters.Offsets
	from, to := offsets[0][0], offsets[len(offsets)-1][1]+1
	if start := p.bounds.Start; start > from {
		p.log(ctx).ErrorContext(ctx, "records were removed from the topic before they were sent to the dead-letter topic",
			slog.Int64("first", from), slog.Int64("last", min(start, to)-1), slog.String("plan", plan.ID))
		from = start
	}
	if from >= to {
		return nil
	}
	in := p.deps.Consumer.Read(p.topic, p.number, from, to).Apart()
	defer in.Close()
	for {
		b, err := in.NextBatch(ctx)
		switch {
		case err == nil:
			if err := p.sendOf(ctx, plan, b); err != nil {
				return fmt.Errorf("completing plan %s: %w", plan.ID, err)
			}
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, kafka.ErrOutOfRange):
			if err := p.lookAgain(ctx); err != nil {
				return err
			}
			return fmt.Errorf("%w: %w", errGone, err)
		default:
			return p.tooLarge(fmt.Errorf("completing plan %s: %w", plan.ID, err), "")
		}
	}
}

// sendOf writes those of a plan's dead letters that a batch holds, some at a time. The batch is not released: after an
// error its records may still be on their way.
func (p *partition) sendOf(ctx context.Context, plan Plan, b *kafka.Batch) error {
	var letters []*kgo.Record
	var held int64
	var r kgo.Record
	for {
		more, err := b.Next(&r)
		if err != nil {
			return err
		}
		if more && within(plan.DeadLetters.Offsets, r.Offset) {
			where, reason := inConverter, "it could not be archived when plan "+plan.ID+" was made"
			if r.Value == nil {
				where, reason = inTask, nullReason
			}
			own := r
			own.Headers = slices.Clone(r.Headers)
			letters, held = append(letters, p.letter(&own, plan.DeadLetters.Topic, where, reason)), held+letterCost(&own)
		}
		if len(letters) > 0 && (!more || held > p.account.share()/2) {
			if err := p.deps.DeadLetters.Produce(ctx, letters); err != nil {
				return err
			}
			p.sum.DeadLetters += int64(len(letters))
			letters, held = nil, 0
		}
		if !more {
			return nil
		}
	}
}

// within says whether an offset is in ascending ranges.
func within(ranges []Range, offset int64) bool {
	_, found := slices.BinarySearchFunc(ranges, offset, func(r Range, offset int64) int {
		switch {
		case r[1] < offset:
			return -1
		case r[0] > offset:
			return 1
		}
		return 0
	})
	return found
}

// before cuts ascending ranges off at an offset, which is not in them any more.
func before(ranges []Range, offset int64) []Range {
	var out []Range
	for _, r := range ranges {
		if r[0] < offset {
			out = append(out, Range{r[0], min(r[1], offset-1)})
		}
	}
	return out
}

// from cuts off what is before an offset.
func from(ranges []Range, offset int64) []Range {
	var out []Range
	for _, r := range ranges {
		if r[1] >= offset {
			out = append(out, Range{max(r[0], offset), r[1]})
		}
	}
	return out
}

// countOf is how many offsets ranges have.
func countOf(ranges []Range) int64 {
	var n int64
	for _, r := range ranges {
		n += r[1] - r[0] + 1
	}
	return n
}
