package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riftline/riftline/shared/connector"
)

// HeaderID is the name of the record header that carries the id of the intent which published a record.
const HeaderID = "riftline-id"

// Topic identifies a topic: a topic that is deleted and created again has another ID. The ID is zero on brokers before
// Kafka 2.8.
type Topic struct {
	Name       string
	ID         [16]byte
	Partitions int32
}

// Bounds are the offsets of a partition that a read_committed consumer can read: from Start to before StableEnd.
type Bounds struct{ Start, StableEnd int64 }

const (
	// probeTimeout bounds the first connection: dial, TLS, SASL and one request.
	probeTimeout = 8 * time.Second
	firstBackoff = 50 * time.Millisecond
	lastBackoff  = time.Second
)

// client is a connection to the brokers that is made when it is first needed.
type client struct {
	settings settings
	log      *slog.Logger
	extra    []kgo.Opt
	// patience bounds how long brokers are asked again for one thing.
	patience time.Duration

	mu      sync.Mutex
	kgo     *kgo.Client
	seen    *progress
	reached bool
	// addresses are where brokers listen.
	addresses map[int32]string
}

func newClient(k connector.Kafka, log *slog.Logger, extra func(settings) []kgo.Opt) (*client, error) {
	s, err := newSettings(k)
	if err != nil {
		return nil, err
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	c := &client{settings: s, log: log, patience: patience}
	if extra != nil {
		c.extra = extra(s)
	}
	// Made once now for its errors, and closed: it has not dialled.
	made, _, err := c.make()
	if err != nil {
		return nil, err
	}
	made.Close()
	return c, nil
}

func (c *client) make() (*kgo.Client, *progress, error) {
	opts, seen, err := c.settings.options(c.log)
	if err != nil {
		return nil, nil, err
	}
	made, err := kgo.NewClient(append(opts, c.extra...)...)
	if err != nil {
		return nil, nil, fmt.Errorf("making a Kafka client: %w", err)
	}
	return made, seen, nil
}

// get returns the client, connected.
func (c *client) get(ctx context.Context) (*kgo.Client, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kgo == nil {
		made, seen, err := c.make()
		if err != nil {
			return nil, err
		}
		c.kgo, c.seen = made, seen
	}
	if !c.reached {
		if err := c.probe(ctx); err != nil {
			return nil, err
		}
		c.reached = true
	}
	return c.kgo, nil
}

// reset closes the client; the next get makes a new one.
func (c *client) reset() {
	c.mu.Lock()
	old := c.kgo
	c.kgo, c.reached = nil, false
	c.mu.Unlock()
	if old != nil {
		old.CloseAllowingRebalance()
	}
}

// probe asks every bootstrap broker something simple, once and at the same time, and is content with one answer. The
// library itself would go on trying with wrong credentials until the caller's time is over.
func (c *client) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	type result struct {
		address string
		err     error
	}
	seeds := c.kgo.SeedBrokers() // in the order of the addresses
	results := make(chan result, len(seeds))
	for i, broker := range seeds {
		address := c.settings.Brokers[i]
		go func() {
			_, err := broker.Request(ctx, kmsg.NewPtrApiVersionsRequest())
			results <- result{address, c.explain(ctx, address, err)}
		}()
	}
	var all []error
	for range seeds {
		r := <-results
		if r.err == nil {
			return c.settle(r.address)
		}
		all = append(all, r.err)
		if errors.Is(r.err, ErrAuthentication) {
			return r.err
		}
	}
	return errors.Join(all...)
}

// settle makes the address that answered the only one that the library begins with: another one that takes connections
// and does not answer would cost a request's whole timeout each time. It learns the cluster's brokers from this one.
func (c *client) settle(address string) error {
	if len(c.settings.Brokers) == 1 {
		return nil
	}
	if err := c.kgo.UpdateSeedBrokers(address); err != nil {
		return fmt.Errorf("connecting to %s: %w", address, err)
	}
	return nil
}

func (c *client) explain(ctx context.Context, address string, err error) error {
	if err == nil {
		return nil
	}
	lost := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, context.DeadlineExceeded)
	wrapped := classify(err)
	switch {
	case errors.Is(wrapped, ErrAuthentication), lost && c.seen.open():
		s := c.settings.SASL
		who := s.User
		if who == "" {
			who = s.ClientID
		}
		return fmt.Errorf("connecting to %s: %w as %q by %s: %w; check the user and the password or token in the worker's settings", address, ErrAuthentication, who, s.Mechanism, err)
	case errors.Is(ctx.Err(), context.Canceled), errors.Is(wrapped, ErrAuthorization):
		return fmt.Errorf("connecting to %s: %w", address, wrapped)
	}
	return fmt.Errorf("%w: connecting to %s: %w (%s)", ErrUnreachable, address, err, hint(err, strings.HasSuffix(c.settings.Protocol, "SSL")))
}

// request sends a request that goes to one broker, chosen by the library, and returns the typed response.
func request[T kmsg.Response](ctx context.Context, c *client, req kmsg.Request) (T, error) {
	var none T
	k, err := c.get(ctx)
	if err != nil {
		return none, err
	}
	resp, err := k.Request(ctx, req)
	if err != nil {
		return none, classify(err)
	}
	typed, ok := resp.(T)
	if !ok {
		return none, fmt.Errorf("broker answered %s with another response", kmsg.NameForKey(req.Key()))
	}
	return typed, nil
}

// topics asks the brokers, not the library's cache, which goes on showing the id of a topic that was created anew. A
// topic that does not exist is missing from the result; leaders are by partition. Without names it asks for all topics
// but Kafka's internal ones, and nothing is wrong with a topic that is not wanted.
func (c *client) topics(ctx context.Context, wanted func(name string) bool, names ...string) (map[string]Topic, map[string][]int32, error) {
	req := kmsg.NewPtrMetadataRequest()
	for _, name := range names {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = kmsg.StringPtr(name)
		req.Topics = append(req.Topics, t)
	}
	topics, leaders := map[string]Topic{}, map[string][]int32{}
	err := c.again(ctx, func() (bool, error) {
		resp, err := request[*kmsg.MetadataResponse](ctx, c, req)
		if err != nil {
			return notYet(err), err
		}
		c.rememberBrokers(resp.Brokers)
		for _, t := range resp.Topics {
			if t.Topic == nil || len(names) == 0 && (internal(t) || !wanted(*t.Topic)) {
				continue
			}
			switch err := kerr.ErrorForCode(t.ErrorCode); {
			case errors.Is(err, kerr.UnknownTopicOrPartition):
			case err != nil:
				return kerr.IsRetriable(err), fmt.Errorf("topic %s: %w", *t.Topic, classify(err))
			default:
				topics[*t.Topic] = Topic{Name: *t.Topic, ID: t.TopicID, Partitions: int32(len(t.Partitions))}
				by := make([]int32, len(t.Partitions))
				for _, p := range t.Partitions {
					if int(p.Partition) < len(by) {
						by[p.Partition] = p.Leader
					}
				}
				leaders[*t.Topic] = by
			}
		}
		return false, nil
	})
	return topics, leaders, err
}

// internal says whether a topic is Kafka's own, by the broker's word or by its name, as not every broker says it.
func internal(t kmsg.MetadataResponseTopic) bool {
	return t.IsInternal || *t.Topic == "__consumer_offsets" || *t.Topic == "__transaction_state"
}

// topic is one topic, or ErrTopicMissing with the command that creates it.
func (c *client) topic(ctx context.Context, name string) (Topic, error) {
	found, _, err := c.topics(ctx, nil, name)
	if err != nil {
		return Topic{}, fmt.Errorf("asking the brokers for topic %s: %w", name, err)
	}
	t, ok := found[name]
	if !ok {
		return Topic{}, c.missing(name)
	}
	return t, nil
}

func (c *client) missing(names ...string) error {
	commands := make([]string, len(names))
	for i, name := range names {
		commands[i] = fmt.Sprintf("kafka-topics.sh --create --topic %s --partitions 1 --bootstrap-server %s", name, strings.Join(c.settings.Brokers, ","))
	}
	return fmt.Errorf("%w: %s; create it with: %s", ErrTopicMissing, strings.Join(names, ", "), strings.Join(commands, "; "))
}

// again calls f until it says that another try is of no use, ctx ends, or patience does, and returns its last error.
func (c *client) again(ctx context.Context, f func() (more bool, err error)) error {
	since, backoff := time.Now(), firstBackoff
	for {
		more, err := f()
		if err == nil || !more {
			return err
		}
		if time.Since(since) > c.patience {
			return fmt.Errorf("no progress for %s: %w", c.patience, err)
		}
		if pause(ctx, backoff) != nil {
			return err
		}
		backoff = min(2*backoff, lastBackoff)
	}
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// offset is a committed offset with its metadata.
type offset struct {
	at       int64
	metadata string
}

// offsets reads a group's committed offsets of a topic, only stable ones: while a transaction that commits offsets of
// the group is being ended, it asks again (KIP-447). Partitions without an offset are missing.
func (c *client) offsets(ctx context.Context, group string, topic Topic, partitions []int32) (map[int32]offset, error) {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.RequireStable = true
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = group
	t := kmsg.NewOffsetFetchRequestGroupTopic()
	t.Topic, t.TopicID, t.Partitions = topic.Name, topic.ID, partitions
	g.Topics = append(g.Topics, t)
	req.Groups = append(req.Groups, g)
	found := map[int32]offset{}
	err := c.again(ctx, func() (bool, error) {
		clear(found)
		resp, err := request[*kmsg.OffsetFetchResponse](ctx, c, req)
		if err != nil {
			return notYet(err), err
		}
		for _, g := range resp.Groups {
			switch err := kerr.ErrorForCode(g.ErrorCode); {
			case errors.Is(err, kerr.GroupIDNotFound):
				continue
			case err != nil:
				return notYet(err), classify(err)
			}
			for _, t := range g.Topics {
				for _, p := range t.Partitions {
					if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
						return notYet(err), classify(err)
					}
					if p.Offset < 0 {
						continue
					}
					o := offset{at: p.Offset}
					if p.Metadata != nil {
						o.metadata = *p.Metadata
					}
					found[p.Partition] = o
				}
			}
		}
		return false, nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the committed offsets of group %s for topic %s: %w", group, topic.Name, err)
	}
	return found, nil
}

// notYet reports whether a broker asks for patience: a new broker, for one, makes the topics of its coordinators only
// when it is first asked for them.
func notYet(err error) bool {
	return kerr.IsRetriable(err) || errors.Is(err, kerr.UnstableOffsetCommit) || errors.Is(err, kerr.ConcurrentTransactions)
}

// topicPatience is how long a broker may not know a topic that another one knows.
const topicPatience = 3 * time.Second

// commitAgain tells, for the error of an offset commit, its class and whether another try makes sense.
func commitAgain(err error, since time.Time) (bool, error) {
	unknownID := errors.Is(err, kerr.UnknownTopicID)
	if (unknownID || errors.Is(err, kerr.UnknownTopicOrPartition)) && time.Since(since) > topicPatience {
		if unknownID {
			return false, is(ErrTopicRecreated, err)
		}
		return false, is(ErrTopicMissing, err)
	}
	return notYet(err), classify(err)
}

// listOffsets returns, by partition, the offset for a special timestamp (-2 the log start, -1 the end), of committed
// records only if committed is set.
func (c *client) listOffsets(ctx context.Context, topic Topic, timestamp int64, committed bool) (map[int32]int64, error) {
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID = -1
	if committed {
		req.IsolationLevel = 1
	}
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic = topic.Name
	for p := range topic.Partitions {
		one := kmsg.NewListOffsetsRequestTopicPartition()
		one.Partition, one.Timestamp, one.CurrentLeaderEpoch = p, timestamp, -1
		t.Partitions = append(t.Partitions, one)
	}
	req.Topics = append(req.Topics, t)
	out := map[int32]int64{}
	err := c.again(ctx, func() (bool, error) {
		k, err := c.get(ctx)
		if err != nil {
			return false, err
		}
		for _, shard := range k.RequestSharded(ctx, req) {
			if shard.Err != nil {
				return false, classify(shard.Err)
			}
			for _, t := range shard.Resp.(*kmsg.ListOffsetsResponse).Topics {
				for _, p := range t.Partitions {
					if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
						return kerr.IsRetriable(err), fmt.Errorf("partition %d: %w", p.Partition, classify(err))
					}
					out[p.Partition] = p.Offset
				}
			}
		}
		return false, nil
	})
	if err == nil && len(out) != int(topic.Partitions) {
		err = fmt.Errorf("the brokers answered for %d of %d partitions", len(out), topic.Partitions)
	}
	if err != nil {
		return nil, fmt.Errorf("listing the offsets of topic %s: %w", topic.Name, err)
	}
	return out, nil
}
