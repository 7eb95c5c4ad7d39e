package drain

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/riftline/riftline/shared/avrofile"
	"github.com/riftline/riftline/shared/bucket"
	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/kafka"
	"github.com/riftline/riftline/shared/layout"
	"github.com/riftline/riftline/shared/logging"
	"github.com/riftline/riftline/shared/step"
)

// Consumer is what a drain asks of Kafka; see [kafka.Consumer] for the meaning and the errors of each method.
type Consumer interface {
	Topics(ctx context.Context, names []string) (map[string]kafka.Topic, error)
	TopicsWhere(ctx context.Context, wanted func(name string) bool) (map[string]kafka.Topic, error)
	RequireIdle(ctx context.Context) error
	Committed(ctx context.Context, topic string) (map[int32]int64, error)
	Commit(ctx context.Context, topic string, topicID [16]byte, partition int32, offset int64) error
	Bounds(ctx context.Context, topic string) (map[int32]kafka.Bounds, error)
	Ends(ctx context.Context, topic string) (map[int32]int64, error)
	Compacted(ctx context.Context, topic string) (bool, error)
	Share(bytes int64, readers int, most int64)
	Read(topic kafka.Topic, partition int32, from, to int64) *kafka.Reader
}

// Heads is where the heads are kept: the state bucket below RIFTLINE_STATE; see [bucket.Bucket].
type Heads interface {
	URL(name string) string
	Read(ctx context.Context, name string) (bucket.Object, error)
	CompareAndSet(ctx context.Context, name string, data []byte, o bucket.PutOptions, mine func(bucket.Object) bool) (int64, error)
}

// Archive is where the data objects are created: the bucket gcs.bucket.name; see [bucket.Bucket].
type Archive interface {
	URL(name string) string
	Stat(ctx context.Context, name string) (bucket.Object, error)
	List(ctx context.Context, prefix, from string) iter.Seq2[bucket.Object, error]
	NewReader(ctx context.Context, name string) (io.ReadCloser, error)
	PutAll(ctx context.Context, name string, parts [][]byte, o bucket.PutOptions) (int64, error)
	NewWriter(ctx context.Context, name string, o bucket.WriterOptions) *bucket.Writer
}

// Schemas gives the text of a schema by its id, and its version in a subject. schema.ErrUnknownID, ErrUnusable and
// ErrUnknownVersion are about the schema; every other error is taken for a passing one.
type Schemas interface {
	ByID(ctx context.Context, id int) (string, error)
	Version(ctx context.Context, subject string, id int) (int, error)
}

// Deps are what a drain works with.
type Deps struct {
	Consumer Consumer
	Heads    Heads
	Archive  Archive
	Schemas  Schemas
	// DeadLetters may be nil for a sink whose records are never skipped to a topic, now or by a plan in flight.
	DeadLetters DeadLetters

	// Task and Tasks split the topic-partitions: this drain takes number i of their sorted list when i mod Tasks is
	// Task. Tasks 0 means one task.
	Task, Tasks int

	// Deadline, unless zero, ends the drain: what is read by then is saved and the rest is left to the next drain.
	Deadline time.Time
	// Stop, unless nil, ends the drain when it is closed: no new plan is made, the one in flight is finished.
	Stop <-chan struct{}

	// Holds, unless nil, is told before anything is read how many bytes of records and objects the drain holds at most, so
	// that a process that does nothing else can bound its heap.
	Holds func(bytes int64)

	// Now is the clock, time.Now unless set.
	Now func() time.Time
	// Rand draws plan ids, crypto/rand unless set.
	Rand io.Reader
}

// Steps are the names of the protocol's steps at which a build with the tag "steps" can be killed or paused, in the
// order of an ordinary drain.
var Steps = []string{
	stepBounds, stepLoaded, stepGenesis, stepBorn, stepCompleting, stepCompleted, stepCommitted,
	stepAssigned, stepPlanning, stepPlanned, stepCreating, stepCreated, stepDurable, stepClosing, stepClosed,
}

const (
	stepBounds     = "drain.1.bounds"     // the log's bounds are known, the head is not read yet
	stepLoaded     = "drain.1.loaded"     // the head is read
	stepGenesis    = "drain.2.genesis"    // before a head is created
	stepBorn       = "drain.2.created"    // after it
	stepCompleting = "drain.4.completing" // a plan is found, nothing is done about it yet
	stepCompleted  = "drain.4.completed"  // all of the found plan is durable
	stepCommitted  = "drain.6.committed"  // the group's offset is committed
	stepAssigned   = "drain.7.assigned"   // a batch is read and assigned to files
	stepPlanning   = "drain.8.planning"   // before the head is written with the plan
	stepPlanned    = "drain.8.planned"    // after it
	stepCreating   = "drain.9.creating"   // before each object
	stepCreated    = "drain.9.created"    // after each object
	stepDurable    = "drain.10.durable"   // all of the plan's objects are durable
	stepClosing    = "drain.11.closing"   // before the head is written without the plan
	stepClosed     = "drain.11.closed"    // after it
)

// Run drains the task's part of a sink's topics once: see the package's text.
//
// The summary is complete in every case, and its Outcome gives the exit code. The error is the one that made the
// outcome: nil for every outcome whose exit code is 0.
func Run(ctx context.Context, s connector.Sink, d Deps) (Summary, error) {
	d = d.complete()
	begun := d.Now()
	sum := Summary{Connector: s.Name, Task: d.Task, Tasks: d.Tasks, Partitions: []PartitionSummary{}}
	parts, err := begin(ctx, s, d)
	errs := make([]error, len(parts))
	if err == nil {
		soft, cancel := softContext(ctx, d)
		defer cancel()
		drainAll(ctx, soft, parts, errs)
		for i, p := range parts {
			sum.Partitions = append(sum.Partitions, p.finish(errs[i]))
		}
		sum.total()
		err = worst(errs)
	} else {
		sum.Outcome = outcomeOf(err)
	}
	if sum.Outcome.ExitCode() == 0 {
		err = nil
	}
	if err != nil {
		sum.Error = err.Error()
	}
	sum.Duration = d.Now().Sub(begun)
	sum.DurationMS = sum.Duration.Milliseconds()
	return sum, err
}

// complete fills in what is not set.
func (d Deps) complete() Deps {
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Rand == nil {
		d.Rand = rand.Reader
	}
	d.Tasks = max(d.Tasks, 1)
	return d
}

// begin checks the settings and finds the task's partitions with their bounds and committed offsets.
func begin(ctx context.Context, s connector.Sink, d Deps) ([]*partition, error) {
	if err := check(s, d); err != nil {
		return nil, err
	}
	topics, err := topicsOf(ctx, s, d)
	if err != nil {
		return nil, fmt.Errorf("looking for the topics of sink %s: %w", s.Name, err)
	}
	if err := d.Consumer.RequireIdle(ctx); err != nil {
		return nil, fmt.Errorf("looking at consumer group %s: %w", s.Group(), explainActive(err, s))
	}
	formats := &formats{schemas: d.Schemas, codec: s.Codec, known: map[int]*format{}}
	var all []*partition
	for _, t := range topics {
		for n := range t.Partitions {
			partitioner, err := layout.NewPartitioner(s)
			if err != nil {
				return nil, fmt.Errorf("%w: %w", errConfiguration, err)
			}
			formats.paths, formats.timed = partitioner.Fields(), partitioner.Timed()
			all = append(all, &partition{
				sink: s, deps: d, topic: t, number: n, committed: -1,
				formats: formats, names: layout.NewNames(s), partitioner: partitioner,
			})
		}
	}
	slices.SortFunc(all, func(a, b *partition) int {
		return cmp.Or(cmp.Compare(a.topic.Name, b.topic.Name), cmp.Compare(a.number, b.number))
	})
	var ours []*partition
	for i, p := range all {
		if i%d.Tasks == d.Task {
			ours = append(ours, p)
		}
	}
	if err := locate(ctx, d, ours); err != nil {
		return ours, err
	}
	readers := allot(s.MemoryMax, ours)
	// Fetched records have half of what the objects have, besides.
	fetched := s.MemoryMax / 2
	d.Consumer.Share(fetched, readers, max(s.MemoryMax, leastBatch))
	if d.Holds != nil {
		d.Holds(s.MemoryMax + fetched + besides(s.MemoryMax, readers))
	}
	return ours, nil
}

// besides is what further partitions that are drained at the same time have besides: connections, the buffers of their
// requests, compressors. With less the heap would be collected all the time; with 16 MiB each it is not, where
// riftline.memory.max.bytes is what it is by default, and three of them have enough for all.
func besides(limit int64, partitions int) int64 {
	return int64(min(max(partitions-1, 0), 3)) * limit / 2
}

// topicsOf finds the topics of a sink: those that it names, or those whose names match, Kafka's own left out. A pattern
// that no topic matches is no error, since topics may come; it is said.
func topicsOf(ctx context.Context, s connector.Sink, d Deps) (map[string]kafka.Topic, error) {
	if s.TopicsRegex == "" {
		return d.Consumer.Topics(ctx, s.Topics)
	}
	// Java's Pattern.matches is about the whole text.
	pattern, err := regexp.Compile("^(?:" + s.TopicsRegex + ")$")
	if err != nil {
		return nil, fmt.Errorf("%w: topics.regex: %w", errConfiguration, err)
	}
	topics, err := d.Consumer.TopicsWhere(ctx, pattern.MatchString)
	if err != nil {
		return nil, err
	}
	if len(topics) == 0 {
		logging.From(ctx).WarnContext(ctx, "no topic matches topics.regex; there is nothing to drain",
			slog.String("connector", s.Name), slog.String("topics_regex", s.TopicsRegex))
	}
	return topics, nil
}

func check(s connector.Sink, d Deps) error {
	if d.Task < 0 || d.Task >= d.Tasks {
		return fmt.Errorf("%w: task %d of %d", errConfiguration, d.Task, d.Tasks)
	}
	if s.ValueConverter != connector.AvroConverter {
		return fmt.Errorf("%w: value.converter %s cannot be archived as Avro: use %s", errConfiguration, s.ValueConverter, connector.AvroConverter)
	}
	if s.FlushSize < 1 {
		return fmt.Errorf("%w: flush.size is %d and must be 1 or more", errConfiguration, s.FlushSize)
	}
	if _, err := avrofile.NewFormat("", s.Codec); err != nil {
		return fmt.Errorf("%w: avro.codec: %w", errConfiguration, err)
	}
	return nil
}

func explainActive(err error, s connector.Sink) error {
	if errors.Is(err, kafka.ErrGroupActive) {
		return fmt.Errorf("%w: another sink, probably Kafka Connect's connector %q, is running; stop it, then drain again", err, s.Name)
	}
	return err
}

// locate asks for the bounds and the committed offsets, once per topic.
func locate(ctx context.Context, d Deps, parts []*partition) error {
	bounds := map[string]map[int32]kafka.Bounds{}
	committed := map[string]map[int32]int64{}
	for _, p := range parts {
		topic := p.topic.Name
		if _, ok := bounds[topic]; !ok {
			b, err := d.Consumer.Bounds(ctx, topic)
			if err != nil {
				return fmt.Errorf("reading the bounds of topic %s: %w", topic, err)
			}
			c, err := d.Consumer.Committed(ctx, topic)
			if err != nil {
				return fmt.Errorf("reading the committed offsets of topic %s: %w", topic, err)
			}
			bounds[topic], committed[topic] = b, c
		}
		b, ok := bounds[topic][p.number]
		if !ok {
			return fmt.Errorf("reading the bounds of topic %s: no answer for partition %d: run the drain again", topic, p.number)
		}
		p.bounds = b
		if c, ok := committed[topic][p.number]; ok {
			p.committed = c
		}
	}
	if len(parts) > 0 {
		step.Reached(ctx, stepBounds)
	}
	return nil
}

// softContext ends at the deadline or when the drain is told to stop, and says which.
func softContext(ctx context.Context, d Deps) (context.Context, func()) {
	soft, cancel := context.WithCancelCause(ctx)
	done := func() { cancel(nil) }
	if d.Stop != nil {
		go func() {
			select {
			case <-d.Stop:
				cancel(errInterrupted)
			case <-soft.Done():
			}
		}()
	}
	if d.Deadline.IsZero() {
		return soft, done
	}
	limited, end := context.WithDeadlineCause(soft, d.Deadline, errDeadline)
	return limited, func() { end(); done() }
}

// drainAll drains partitions in parallel, as many as the memory is for. One that fails or stops does not touch the
// others.
func drainAll(ctx, soft context.Context, parts []*partition, errs []error) {
	var wg sync.WaitGroup
	free := map[*budget]chan struct{}{}
	for _, p := range parts {
		memory := p.account.budget
		if free[memory] == nil {
			free[memory] = make(chan struct{}, memory.inFlight)
		}
	}
	for memory, free := range free {
		wg.Go(func() {
			for i, p := range parts {
				if p.account.budget != memory {
					continue
				}
				free <- struct{}{}
				wg.Go(func() {
					defer func() { <-free }()
					defer memory.done()
					errs[i] = p.run(ctx, soft)
				})
			}
		})
	}
	wg.Wait()
}

func worst(errs []error) error {
	var w error
	for _, err := range errs {
		if err != nil && (w == nil || severity(outcomeOf(err)) > severity(outcomeOf(w))) {
			w = err
		}
	}
	return w
}
