package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riftline/riftline/shared/connector"
)

// Consumer reads partitions and keeps the group's offsets, without being a member of it. It is safe for concurrent use.
type Consumer struct {
	group  string
	client *client

	mu      sync.Mutex
	leaders map[string][]int32
	// share is what one response may have, 0 for what the settings say.
	share int32
	// links are connections that no reader uses at the moment, by broker.
	links map[int32][]*link
	// longRead is how many times as much as its first response held must be left for a reader to make a link.
	longRead int64
	// unpacker is nil before the first reader, or Share.
	unpacker *unpacker
}

const (
	// alive is how many responses of a reader are in memory at a time: one that is used, one that waits and one that comes.
	alive = 3
	// leastFetch is what is asked for at least, so that there is something in each response.
	leastFetch = 256 << 10
)

// Share has the readers that are made from now on, as many at a time as is said, hold no more than some bytes of fetched
// data together, as far as batches are not larger than their parts of that, or than 256 KiB. No batch may unpack to more
// than most bytes, or 8 MiB if that is more; of those that unpack to more than 8 MiB there is one at a time, and one
// besides of readers that are [Reader.Apart].
func (c *Consumer) Share(bytes int64, readers int, most int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unpacker = newUnpacker(bytes, most)
	c.share = int32(min(max(bytes/int64(alive*max(readers, 1)), leastFetch), math.MaxInt32))
}

// fetchBytes is how much a reader asks for at a time.
func (c *Consumer) fetchBytes() int32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := min(c.client.settings.part, c.client.settings.fetchMax)
	if c.share > 0 {
		n = min(n, c.share)
	}
	return n
}

// unpacking is what readers unpack batches with, to any size that the library takes unless Share has said otherwise.
func (c *Consumer) unpacking() *unpacker {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.unpacker == nil {
		c.unpacker = newUnpacker(alive*largestKept, math.MaxInt32)
	}
	return c.unpacker
}

// NewConsumer prepares a consumer. It dials nothing. An error is one of the settings.
func NewConsumer(k connector.Kafka, group string, log *slog.Logger) (*Consumer, error) {
	c, err := newClient(k, log, func(s settings) []kgo.Opt {
		if s.fetchMax > 64<<20 {
			return []kgo.Opt{kgo.BrokerMaxReadBytes(s.fetchMax + 64<<20)}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return consumerOf(c, group), nil
}

// consumerOf is a consumer with a client that may be somebody else's; its links are to be closed when it is done with.
func consumerOf(c *client, group string) *Consumer {
	return &Consumer{group: group, client: c, leaders: map[string][]int32{}, links: map[int32][]*link{}, longRead: longRead}
}

// Topics asks the brokers for topics. ErrTopicMissing names all that are missing; ErrAuthorization, ErrAuthentication,
// ErrUnreachable.
func (c *Consumer) Topics(ctx context.Context, names []string) (map[string]Topic, error) {
	if len(names) == 0 {
		return map[string]Topic{}, nil
	}
	found, leaders, err := c.client.topics(ctx, nil, names...)
	if err != nil {
		return nil, fmt.Errorf("asking the brokers for topics %s: %w", strings.Join(names, ", "), err)
	}
	var missing []string
	for _, name := range names {
		if _, ok := found[name]; !ok {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return nil, c.client.missing(missing...)
	}
	c.remember(leaders)
	return found, nil
}

// TopicsWhere asks the brokers for the topics, of those that may be seen, whose names are wanted, Kafka's internal ones
// left out. What is wrong with other topics is no error. ErrAuthorization, ErrAuthentication, ErrUnreachable.
func (c *Consumer) TopicsWhere(ctx context.Context, wanted func(name string) bool) (map[string]Topic, error) {
	found, leaders, err := c.client.topics(ctx, wanted)
	if err != nil {
		return nil, fmt.Errorf("asking the brokers for all topics: %w", err)
	}
	c.remember(leaders)
	return found, nil
}

func (c *Consumer) remember(leaders map[string][]int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, by := range leaders {
		c.leaders[name] = by
	}
}

// leader is the broker that leads a partition, as far as is known; -1 when it is not.
func (c *Consumer) leader(topic string, partition int32) int32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if by := c.leaders[topic]; int(partition) < len(by) {
		return by[partition]
	}
	return -1
}

// RequireIdle fails with ErrGroupActive unless the group is empty or does not exist. Both kinds of groups are looked
// at, the classic one and that of KIP-848.
func (c *Consumer) RequireIdle(ctx context.Context) error {
	state, members, err := c.describeClassic(ctx)
	if err == nil && state == "Dead" {
		state, members, err = c.describeNew(ctx)
	}
	switch {
	case err != nil:
		return fmt.Errorf("describing group %s: %w", c.group, err)
	case state == "Empty" || state == "Dead" || state == "":
		return nil
	}
	slices.Sort(members)
	return fmt.Errorf("group %s is %s: %w (%s); stop the other sink first", c.group, state, ErrGroupActive, strings.Join(members, ", "))
}

func (c *Consumer) describeClassic(ctx context.Context) (state string, members []string, err error) {
	req := kmsg.NewPtrDescribeGroupsRequest()
	req.Groups = []string{c.group}
	err = c.client.again(ctx, func() (bool, error) {
		resp, err := request[*kmsg.DescribeGroupsResponse](ctx, c.client, req)
		if err != nil {
			return notYet(err), err
		}
		for _, g := range resp.Groups {
			switch err := kerr.ErrorForCode(g.ErrorCode); {
			case errors.Is(err, kerr.GroupIDNotFound):
				state = "Dead"
				continue
			case err != nil:
				return kerr.IsRetriable(err), classify(err)
			}
			state = g.State
			for _, m := range g.Members {
				members = append(members, m.ClientID+m.ClientHost)
			}
		}
		return false, nil
	})
	return state, members, err
}

func (c *Consumer) describeNew(ctx context.Context) (state string, members []string, err error) {
	req := kmsg.NewPtrConsumerGroupDescribeRequest()
	req.Groups = []string{c.group}
	err = c.client.again(ctx, func() (bool, error) {
		k, err := c.client.get(ctx)
		if err != nil {
			return false, err
		}
		if v, err := k.Request(ctx, kmsg.NewPtrApiVersionsRequest()); err == nil {
			keys := v.(*kmsg.ApiVersionsResponse).ApiKeys
			if !slices.ContainsFunc(keys, func(k kmsg.ApiVersionsResponseApiKey) bool { return k.ApiKey == req.Key() }) {
				state = "Dead" // brokers that have no such groups
				return false, nil
			}
		}
		resp, err := request[*kmsg.ConsumerGroupDescribeResponse](ctx, c.client, req)
		if err != nil {
			return notYet(err), err
		}
		for _, g := range resp.Groups {
			switch err := kerr.ErrorForCode(g.ErrorCode); {
			case errors.Is(err, kerr.GroupIDNotFound), errors.Is(err, kerr.UnsupportedVersion):
				state = "Dead"
				continue
			case err != nil:
				return kerr.IsRetriable(err), classify(err)
			}
			state = g.State
			for _, m := range g.Members {
				members = append(members, m.ClientID+m.ClientHost)
			}
		}
		return false, nil
	})
	return state, members, err
}

// Committed returns the group's committed offsets of a topic; partitions without one are missing.
func (c *Consumer) Committed(ctx context.Context, topic string) (map[int32]int64, error) {
	t, err := c.client.topic(ctx, topic)
	if err != nil {
		return nil, err
	}
	all := make([]int32, t.Partitions)
	for i := range all {
		all[i] = int32(i)
	}
	found, err := c.client.offsets(ctx, c.group, t, all)
	if err != nil {
		return nil, err
	}
	out := make(map[int32]int64, len(found))
	for p, o := range found {
		out[p] = o.at
	}
	return out, nil
}

// Commit commits an offset of the group without being a member. ErrGroupActive when the group has members.
func (c *Consumer) Commit(ctx context.Context, topic string, topicID [16]byte, partition int32, offset int64) error {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.Generation = c.group, -1
	t := kmsg.NewOffsetCommitRequestTopic()
	t.Topic, t.TopicID = topic, topicID
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Partition, p.Offset, p.LeaderEpoch, p.Metadata = partition, offset, -1, kmsg.StringPtr("")
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	since := time.Now()
	err := c.client.again(ctx, func() (bool, error) {
		resp, err := request[*kmsg.OffsetCommitResponse](ctx, c.client, req)
		if err != nil {
			return notYet(err), err
		}
		answered := 0
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				answered++
				switch err := kerr.ErrorForCode(p.ErrorCode); {
				case err == nil:
				case hasMembers(err):
					return false, is(ErrGroupActive, err)
				default:
					return commitAgain(err, since)
				}
			}
		}
		if answered != 1 {
			return false, fmt.Errorf("the broker answered for %d partitions", answered)
		}
		return false, nil
	})
	if err != nil {
		return fmt.Errorf("committing offset %d of %s/%d for group %s: %w", offset, topic, partition, c.group, err)
	}
	return nil
}

// hasMembers tells the errors by which brokers refuse a commit from outside of a group with members.
func hasMembers(err error) bool {
	for _, e := range []error{
		kerr.UnknownMemberID, kerr.IllegalGeneration, kerr.RebalanceInProgress, kerr.StaleMemberEpoch, kerr.FencedMemberEpoch,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// Bounds returns the readable offsets of every partition of a topic.
func (c *Consumer) Bounds(ctx context.Context, topic string) (map[int32]Bounds, error) {
	t, err := c.client.topic(ctx, topic)
	if err != nil {
		return nil, err
	}
	start, err := c.client.listOffsets(ctx, t, -2, true)
	if err != nil {
		return nil, err
	}
	end, err := c.client.listOffsets(ctx, t, -1, true)
	if err != nil {
		return nil, err
	}
	out := make(map[int32]Bounds, len(end))
	for p := range end {
		out[p] = Bounds{Start: start[p], StableEnd: end[p]}
	}
	return out, nil
}

// Ends returns the offset after the last record of every partition of a topic, those of open transactions included.
func (c *Consumer) Ends(ctx context.Context, topic string) (map[int32]int64, error) {
	t, err := c.client.topic(ctx, topic)
	if err != nil {
		return nil, err
	}
	return c.client.listOffsets(ctx, t, -1, false)
}

// Close ends the client's connections and goroutines. Readers must be closed before.
func (c *Consumer) Close() {
	c.closeLinks()
	c.client.reset()
}

// closeLinks closes the links that no reader uses.
func (c *Consumer) closeLinks() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, all := range c.links {
		for _, l := range all {
			l.close()
		}
	}
	clear(c.links)
}

// link is a connection to a broker that is the caller's alone.
func (c *Consumer) link(ctx context.Context, node int32) (*link, error) {
	for {
		l := c.parked(node)
		if l == nil {
			break
		}
		if l.usable() {
			return l, nil
		}
		l.close()
	}
	address := c.client.address(node)
	if address == "" {
		return nil, fmt.Errorf("%w: broker %d has no address", ErrUnreachable, node)
	}
	return c.client.dial(ctx, node, address)
}

func (c *Consumer) parked(node int32) *link {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.links[node]
	if len(all) == 0 {
		return nil
	}
	c.links[node] = all[:len(all)-1]
	return all[len(all)-1]
}

// park keeps a link for another reader.
func (c *Consumer) park(l *link) {
	if !l.usable() {
		l.close()
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.links[l.node] = append(c.links[l.node], l)
}
