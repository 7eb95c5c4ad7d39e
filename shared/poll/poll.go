package poll

import (
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riftline/riftline/shared/connector"
	"github.com/riftline/riftline/shared/httpsource"
	"github.com/riftline/riftline/shared/kafka"
	"github.com/riftline/riftline/shared/schema"
	"github.com/riftline/riftline/shared/sourceoffset"
)

// Fetcher asks the API. *httpsource.Client is one.
type Fetcher interface {
	Fetch(ctx context.Context) (httpsource.Answer, error)
	Close()
}

// Registry keeps schemas. *schema.Registry is one.
type Registry interface {
	Ensure(ctx context.Context, subject string, inferred *schema.Schema) (schema.Registered, error)
	EnsureStruct(ctx context.Context, subject, text string) (schema.Struct, error)
	ByID(ctx context.Context, id int) (text string, err error)
}

// Producer publishes in transactions, or without where these are refused. *kafka.Producer is one.
type Producer interface {
	Topic(ctx context.Context, name string) (kafka.Topic, error)
	CreateTopic(ctx context.Context, name string, c connector.TopicCreation) (kafka.Topic, error)
	AutoCreateTopic(ctx context.Context, name string) (kafka.Topic, error)
	Fence(ctx context.Context) error
	Marker(ctx context.Context, topic string) (kafka.Marker, bool, error)
	Publish(ctx context.Context, records []*kgo.Record, markerTopic kafka.Topic, m kafka.Marker, until time.Time) error
	FindIntent(ctx context.Context, topic, id string, since time.Time) (kafka.Found, error)
	Transactions(ctx context.Context) error
	Lease(ctx context.Context, topic kafka.Topic) (watermarks []int64, err error)
	Send(ctx context.Context, records []*kgo.Record, until time.Time) (kafka.Delivery, error)
	ReadSince(ctx context.Context, topic string, watermarks []int64, id string, each func(*kgo.Record)) (kafka.Since, error)
	Close()
}

// Offsets is the state bucket. *bucket.Bucket is one.
type Offsets = sourceoffset.Bucket

// Deps is what a poll works with. Offsets is required; everything else has a default that does the real thing.
type Deps struct {
	Offsets Offsets

	NewFetcher  func(connector.Source) (Fetcher, error)
	NewRegistry func(connector.Registry) (Registry, error)
	// NewProducer must dial nothing: an idle poll makes one as little as it uses one.
	NewProducer func(k connector.Kafka, id string, log *slog.Logger) (Producer, error)
	// Refresh reads the credentials of the request once more and returns the source with them; changed is false when
	// they are what they were. nil means that there is nothing to read again.
	Refresh func(context.Context) (s connector.Source, changed bool, err error)

	// Now is the clock, Rand the source of ids.
	Now  func() time.Time
	Rand io.Reader
	// UntilMargin is added to the deadline for the time up to which other runs leave an intent alone; 30 s when zero.
	UntilMargin time.Duration
	// ReleaseTimeout bounds what is done after the run's context ended: taking an intent back. 8 s when zero.
	ReleaseTimeout time.Duration
	// PartRecords and PartBytes bound one transaction; 10,000 and 32 MiB when zero.
	PartRecords int
	PartBytes   int64
}

// Summary is what a poll did. It is what an HTTP trigger gets and what is logged, and holds no credential.
type Summary struct {
	Connector string            `json:"connector"`
	Variables map[string]string `json:"variables,omitempty"`
	// Run identifies the run in logs.
	Run     string  `json:"run"`
	Outcome Outcome `json:"outcome"`
	Topic   string  `json:"topic,omitempty"`
	// Fetched counts the entries of the answer; New + Changed + Unchanged + Repeated add up to it. Of a log, New are the
	// entries that are published and Unchanged those that were published before.
	Fetched   int `json:"fetched"`
	New       int `json:"new"`
	Changed   int `json:"changed"`
	Unchanged int `json:"unchanged"`
	// Left counts the keys that the topic holds and the answer lacks, unless the answer is too small to be believed.
	Left int `json:"left"`
	// Published counts the records that this run published, Tombstones those among them that have no value.
	Published  int `json:"published"`
	Tombstones int `json:"tombstones,omitempty"`
	// Keyless counts entries without a key, Repeated entries whose key came again later in the same answer.
	Keyless  int `json:"keyless"`
	Repeated int `json:"repeated"`
	// OnlyNewFields counts the changed keys that differ only by members that no entry had before.
	OnlyNewFields int `json:"only_new_fields"`
	// Bytes is the size of the decompressed answer, Requests how many it took.
	Bytes    int64 `json:"bytes"`
	Requests int   `json:"requests"`
	// Transactions counts the commits of this run.
	Transactions int           `json:"transactions"`
	Duration     time.Duration `json:"-"`
	DurationMS   int64         `json:"duration_ms"`
	// FirstOffsets and LastOffsets are the offsets of the records of this run, by partition.
	FirstOffsets map[int32]int64 `json:"first_offsets,omitempty"`
	LastOffsets  map[int32]int64 `json:"last_offsets,omitempty"`
	// ExactlyOnce is false when something was published without a transaction, by this run or one that it settled.
	ExactlyOnce bool `json:"exactly_once"`
	// Recovered says what became of an earlier run's intent: "committed", "not_committed", or empty; "partly" when it was
	// published without a transaction and a part of its records is there.
	Recovered string `json:"recovered,omitempty"`
	// RetryAfter is when to come back, zero when that is not known.
	RetryAfter time.Time `json:"retry_after,omitzero"`
	Error      string    `json:"error,omitempty"`
	// Units are the source partitions of a connector that has several, in the order in which they were polled. The
	// counts are the sums of theirs then. UnitsLeft counts those that were left to the next trigger.
	Units     []Summary `json:"units,omitempty"`
	UnitsLeft int       `json:"units_left,omitempty"`
}

// withDefaults fills in the real thing for whatever is not given.
func (d Deps) withDefaults() Deps {
	if d.NewFetcher == nil {
		d.NewFetcher = func(s connector.Source) (Fetcher, error) { return httpsource.New(s, httpsource.Options{}) }
	}
	if d.NewRegistry == nil {
		d.NewRegistry = func(c connector.Registry) (Registry, error) { return schema.NewRegistry(c) }
	}
	if d.NewProducer == nil {
		d.NewProducer = func(k connector.Kafka, id string, log *slog.Logger) (Producer, error) {
			return kafka.NewProducer(k, id, log)
		}
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.UntilMargin == 0 {
		d.UntilMargin = 30 * time.Second
	}
	if d.ReleaseTimeout == 0 {
		d.ReleaseTimeout = 8 * time.Second
	}
	if d.PartRecords == 0 {
		d.PartRecords = 10_000
	}
	if d.PartBytes == 0 {
		d.PartBytes = 32 << 20
	}
	return d
}
