package drain

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	"github.com/riftline/riftline/shared/bucket"
	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/kafka"
)

// Consumer is what a drain asks of Kafka; see [kafka.Consumer] for the meaning and the errors of each method.
type Consumer interface {
	Topics(ctx context.Context, names []string) (map[string]kafka.Topic, error)
	RequireIdle(ctx context.Context) error
	Committed(ctx context.Context, topic string) (map[int32]int64, error)
	Commit(ctx context.Context, topic string, topicID [16]byte, partition int32, offset int64) error
	Bounds(ctx context.Context, topic string) (map[int32]kafka.Bounds, error)
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
	Put(ctx context.Context, name string, data []byte, o bucket.PutOptions) (int64, error)
	NewWriter(ctx context.Context, name string, o bucket.WriterOptions) *bucket.Writer
}

// Schemas gives the text of a schema by its id. schema.ErrUnknownID says that there is none; every other error is
// taken for a passing one.
type Schemas interface {
	ByID(ctx context.Context, id int) (string, error)
}

// Deps are what a drain works with.
type Deps struct {
	Consumer Consumer
	Heads    Heads
	Archive  Archive
	Schemas  Schemas

	// Task and Tasks split the topic-partitions: this drain takes number i of their sorted list when i mod Tasks is
	// Task. Tasks 0 means one task.
	Task, Tasks int

	// Deadline, unless zero, ends the drain: what is read by then is saved and the rest is left to the next drain.
	Deadline time.Time
	// Stop, unless nil, ends the drain when it is closed: no new plan is made, the one in flight is finished.
	Stop <-chan struct{}

	// Now is the clock, time.Now unless set.
	Now func() time.Time
	// Rand draws plan ids, crypto/rand unless set.
	Rand io.Reader
}

// Run drains the task's part of a sink's topics once: see the package's text.
//
// The error is not nil only when nothing could be begun or a partition ended in a passing failure; the summary is
// complete in every case, and its Outcome gives the exit code.
func Run(ctx context.Context, s connector.Sink, d Deps) (Summary, error) {
	return Summary{}, errors.New("not built yet")
}
