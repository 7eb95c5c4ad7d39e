// Package kafka is riftline's Kafka client: client options from connector settings, the transactional producer of the
// poll protocol and the partition reader of the drain protocol.
package kafka

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riftline/riftline/shared/connector"
)

// The failures that callers act on.
var (
	// ErrTopicMissing says that a topic does not exist.
	ErrTopicMissing = errors.New("topic does not exist")
	// ErrAuthentication says that the brokers refuse the credentials.
	ErrAuthentication = errors.New("authentication failed")
	// ErrAuthorization says that the credentials are valid but a right is missing.
	ErrAuthorization = errors.New("not authorized")
	// ErrUnreachable says that no broker could be reached, or that TLS could not be agreed on.
	ErrUnreachable = errors.New("brokers cannot be reached")
	// ErrTransactionsRefused says that the brokers do not give this client a transactional id.
	ErrTransactionsRefused = errors.New("transactions are refused")
	// ErrNotCommitted says that a transaction was not and can never be committed.
	ErrNotCommitted = errors.New("transaction was not committed")
	// ErrUnknownOutcome says that a transaction may or may not have been committed.
	ErrUnknownOutcome = errors.New("outcome of the transaction is unknown")
	// ErrGroupActive says that the consumer group has members: another sink is running.
	ErrGroupActive = errors.New("consumer group has active members")
	// ErrOutOfRange says that an offset is below the log start or beyond its end.
	ErrOutOfRange = errors.New("offset is out of range")
	// ErrTopicRecreated says that a topic has been deleted and made again since its id was taken.
	ErrTopicRecreated = errors.New("topic was deleted and created again")
)

var errNotYet = errors.New("not built yet")

// HeaderID is the name of the record header that carries the id of the intent which published a record.
const HeaderID = "riftline-id"

// Topic identifies a topic: a topic that is deleted and created again has another ID.
type Topic struct {
	Name       string
	ID         [16]byte
	Partitions int32
}

// Marker is what a transaction leaves in the group's offsets: the id of the intent that it published and how many
// transactions there have been.
type Marker struct {
	ID      string
	Commits int64
}

// Found is what a search for an intent's records came to.
type Found uint8

// The outcomes of [Producer.FindIntent].
const (
	Unknown Found = iota
	Committed
	NotCommitted
)

// Options are the client options for settings: brokers, TLS, SASL and the Java client properties that have a meaning
// here.
func Options(k connector.Kafka, log *slog.Logger) ([]kgo.Opt, error) { return nil, errNotYet }

// Producer publishes in transactions, each with a marker.
type Producer struct{}

// NewProducer prepares a producer; id is the transactional id and the group of the marker. It dials nothing.
func NewProducer(k connector.Kafka, id string, log *slog.Logger) (*Producer, error) {
	return nil, errNotYet
}

// Topic asks the brokers for a topic. ErrTopicMissing, ErrAuthorization, ErrAuthentication, ErrUnreachable.
func (p *Producer) Topic(ctx context.Context, name string) (Topic, error) { return Topic{}, errNotYet }

// CreateTopic makes a topic; one that is there already is returned as it is.
func (p *Producer) CreateTopic(ctx context.Context, name string, c connector.TopicCreation) (Topic, error) {
	return Topic{}, errNotYet
}

// Fence takes over the transactional id: an open transaction of an earlier owner is aborted, one that is committing is
// waited for, and no earlier owner can commit from now on. ErrTransactionsRefused.
func (p *Producer) Fence(ctx context.Context) error { return errNotYet }

// Marker reads the marker of the last committed transaction, stable; false when there is none.
func (p *Producer) Marker(ctx context.Context, topic string) (Marker, bool, error) {
	return Marker{}, false, errNotYet
}

// Publish sends records and the marker in one transaction and commits it, if that can be asked for before until.
//
// ErrNotCommitted: the transaction can never commit. ErrUnknownOutcome: it may have committed. After any error the
// producer is of no further use and must be closed.
func (p *Producer) Publish(ctx context.Context, records []*kgo.Record, markerTopic Topic, m Marker, until time.Time) error {
	return errNotYet
}

// FindIntent looks for committed records with the header riftline-id = id in the whole topic. NotCommitted is returned
// only if every partition still reaches back before since and the topic is not compacted.
func (p *Producer) FindIntent(ctx context.Context, topic, id string, since time.Time) (Found, error) {
	return Unknown, errNotYet
}

// Close ends the client's connections and goroutines.
func (p *Producer) Close() {}

// Bounds are the offsets of a partition that a read_committed consumer can read: from Start to before StableEnd.
type Bounds struct{ Start, StableEnd int64 }

// Consumer reads partitions and keeps the group's offsets, without being a member of it.
type Consumer struct{}

// NewConsumer prepares a consumer. It dials nothing.
func NewConsumer(k connector.Kafka, group string, log *slog.Logger) (*Consumer, error) {
	return nil, errNotYet
}

// Topics asks the brokers for topics. ErrTopicMissing names all that are missing.
func (c *Consumer) Topics(ctx context.Context, names []string) (map[string]Topic, error) {
	return nil, errNotYet
}

// RequireIdle fails with ErrGroupActive unless the group is empty or does not exist.
func (c *Consumer) RequireIdle(ctx context.Context) error { return errNotYet }

// Committed returns the group's committed offsets of a topic; partitions without one are missing.
func (c *Consumer) Committed(ctx context.Context, topic string) (map[int32]int64, error) {
	return nil, errNotYet
}

// Commit commits an offset without membership. ErrGroupActive when the group has members.
func (c *Consumer) Commit(ctx context.Context, topic string, topicID [16]byte, partition int32, offset int64) error {
	return errNotYet
}

// Bounds returns the readable offsets of every partition of a topic.
func (c *Consumer) Bounds(ctx context.Context, topic string) (map[int32]Bounds, error) {
	return nil, errNotYet
}

// Read returns a reader of the records from offset from up to, not including, offset to.
func (c *Consumer) Read(topic Topic, partition int32, from, to int64) *Reader { return &Reader{} }

// Close ends the client's connections and goroutines. Readers must be closed before.
func (c *Consumer) Close() {}

// Reader reads one partition in order.
type Reader struct{}

// Next returns the next records, possibly none, and the offset after everything that was looked at, transaction
// markers, aborted and compacted records included. io.EOF once that offset is to. ErrOutOfRange, ErrTopicRecreated.
func (r *Reader) Next(ctx context.Context) (records []*kgo.Record, next int64, err error) {
	return nil, 0, errNotYet
}

// Close stops reading ahead and waits for it to end.
func (r *Reader) Close() {}
