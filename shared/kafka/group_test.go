package kafka

import (
	"context"
	"errors"
	"maps"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riftline/riftline/shared/connector"
)

func TestCommit(t *testing.T) {
	everywhere(t, func(t *testing.T, k connector.Kafka) {
		topic := makeTopic(t, k, 3, nil)
		c := consumer(t, k, name(t, "group"))
		want := func(want map[int32]int64) {
			t.Helper()
			got, err := c.Committed(limit(t), topic.Name)
			if err != nil || !maps.Equal(got, want) {
				t.Fatalf("committed %v, %v; want %v", got, err, want)
			}
		}
		want(map[int32]int64{})
		if err := c.RequireIdle(limit(t)); err != nil {
			t.Fatalf("a group that does not exist: %v", err)
		}
		for p, at := range map[int32]int64{0: 7, 2: 9} {
			if err := c.Commit(limit(t), topic.Name, topic.ID, p, at); err != nil {
				t.Fatal(err)
			}
		}
		want(map[int32]int64{0: 7, 2: 9})
		if err := c.RequireIdle(limit(t)); err != nil {
			t.Fatalf("a group that is empty: %v", err)
		}
		if err := c.Commit(limit(t), topic.Name, topic.ID, 0, 3); err != nil {
			t.Fatal(err)
		}
		want(map[int32]int64{0: 3, 2: 9})
	})
}

func TestActiveGroup(t *testing.T) {
	everywhere(t, func(t *testing.T, k connector.Kafka) {
		for _, kind := range []string{"classic", "consumer"} {
			t.Run(kind, func(t *testing.T) {
				topic := makeTopic(t, k, 1, nil)
				group := name(t, "group")
				ctx := limit(t)
				if kind == "consumer" {
					ctx = context.WithValue(ctx, "opt_in_kafka_next_gen_balancer_beta", true) //nolint:revive,staticcheck // the key is the library's own
				}
				opts, err := Options(k, nil)
				if err != nil {
					t.Fatal(err)
				}
				member, err := kgo.NewClient(append(opts, kgo.WithContext(ctx), kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic.Name))...)
				if err != nil {
					t.Fatal(err)
				}
				defer member.Close()
				produce(t, k, &kgo.Record{Topic: topic.Name, Value: []byte("x")})
				if f := member.PollFetches(limit(t)); f.NumRecords() != 1 {
					t.Fatalf("the member reads nothing: %v", f.Err())
				}
				c := consumer(t, k, group)
				if err := c.RequireIdle(limit(t)); !errors.Is(err, ErrGroupActive) {
					t.Fatalf("describing: %v", err)
				}
				if err := c.Commit(limit(t), topic.Name, topic.ID, 0, 1); !errors.Is(err, ErrGroupActive) {
					t.Fatalf("committing: %v", err)
				}
				if _, err := c.Committed(limit(t), topic.Name); err != nil {
					t.Fatalf("reading: %v", err)
				}
				member.Close()
				for end := limit(t); ; {
					if err := c.RequireIdle(end); err == nil {
						break
					} else if pause(end, firstBackoff) != nil {
						t.Fatalf("after the member left: %v", err)
					}
				}
				if err := c.Commit(limit(t), topic.Name, topic.ID, 0, 1); err != nil {
					t.Fatal(err)
				}
			})
		}
	})
}

func TestCommitIsRepeated(t *testing.T) {
	c, k := brokers(t)
	topic := makeTopic(t, k, 1, nil)
	in := consumer(t, k, "group")
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.CoordinatorLoadInProgress, Count: 2})
	if err := in.Commit(limit(t), topic.Name, topic.ID, 0, 1); err != nil {
		t.Fatal(err)
	}
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.GroupAuthorizationFailed, Count: -1})
	if err := in.Commit(limit(t), topic.Name, topic.ID, 0, 1); !errors.Is(err, ErrAuthorization) {
		t.Fatal(err)
	}
}

func TestTopics(t *testing.T) {
	everywhere(t, func(t *testing.T, k connector.Kafka) {
		topic := makeTopic(t, k, 2, nil)
		c := consumer(t, k, "group")
		got, err := c.Topics(limit(t), []string{topic.Name})
		if err != nil || got[topic.Name] != topic {
			t.Fatalf("%+v, %v", got, err)
		}
		_, err = c.Topics(limit(t), []string{"riftline-no-1", topic.Name, "riftline-no-2"})
		if !errors.Is(err, ErrTopicMissing) || strings.Contains(err.Error(), topic.Name) ||
			!strings.Contains(err.Error(), "--topic riftline-no-1 ") || !strings.Contains(err.Error(), "--topic riftline-no-2 ") {
			t.Fatal(err)
		}
	})
}

// Brokers that never get ready end an operation, also where the caller sets no end.
func TestPatienceEnds(t *testing.T) {
	for name, tt := range map[string]struct {
		key kmsg.Key
		err *kerr.Error
		do  func(*Consumer, context.Context, Topic) error
	}{
		"commit": {kmsg.OffsetCommit, kerr.CoordinatorLoadInProgress, func(c *Consumer, ctx context.Context, topic Topic) error {
			return c.Commit(ctx, topic.Name, topic.ID, 0, 1)
		}},
		"committed": {kmsg.OffsetFetch, kerr.UnstableOffsetCommit, func(c *Consumer, ctx context.Context, topic Topic) error {
			_, err := c.Committed(ctx, topic.Name)
			return err
		}},
		"idle": {kmsg.DescribeGroups, kerr.CoordinatorLoadInProgress, func(c *Consumer, ctx context.Context, _ Topic) error {
			return c.RequireIdle(ctx)
		}},
		"topics": {kmsg.Metadata, kerr.LeaderNotAvailable, func(c *Consumer, ctx context.Context, topic Topic) error {
			_, err := c.Topics(ctx, []string{topic.Name})
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, k := brokers(t)
			topic := makeTopic(t, k, 1, nil)
			in := consumer(t, k, "group")
			in.client.extra = append(in.client.extra, kgo.RetryTimeout(100*time.Millisecond)) // the library's own
			if err := tt.do(in, limit(t), topic); err != nil {
				t.Fatal(err)
			}
			f := c.Fault(kfake.Fault{Keys: []kmsg.Key{tt.key}, Err: tt.err, Count: -1})
			defer f.Remove()
			in.client.patience = 200 * time.Millisecond
			done := make(chan error, 1)
			go func() { done <- tt.do(in, t.Context(), topic) }()
			select {
			case err := <-done:
				if !errors.Is(err, tt.err) || !strings.Contains(err.Error(), "no progress") {
					t.Error(err)
				}
			case <-time.After(45 * time.Second):
				t.Error("it goes on asking")
			}
		})
	}
}

// A topic that is not wanted may be as broken as it likes.
func TestTopicsWhere(t *testing.T) {
	c, k := brokers(t)
	good, broken := makeTopic(t, k, 2, nil), makeTopic(t, k, 1, nil)
	c.ControlKey(kmsg.Metadata.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		resp := req.ResponseKind().(*kmsg.MetadataResponse)
		broker := kmsg.NewMetadataResponseBroker()
		host, port, _ := strings.Cut(k.Brokers[0], ":")
		at, _ := strconv.ParseInt(port, 10, 32)
		broker.Host, broker.Port = host, int32(at)
		resp.Brokers, resp.ControllerID = append(resp.Brokers, broker), broker.NodeID
		for _, topic := range []Topic{good, broken} {
			one := kmsg.NewMetadataResponseTopic()
			one.Topic, one.TopicID = kmsg.StringPtr(topic.Name), topic.ID
			if topic == broken {
				one.ErrorCode = kerr.InvalidTopicException.Code
			}
			for p := range topic.Partitions {
				part := kmsg.NewMetadataResponseTopicPartition()
				part.Partition = p
				one.Partitions = append(one.Partitions, part)
			}
			resp.Topics = append(resp.Topics, one)
		}
		return resp, nil, true
	})
	in := consumer(t, k, "group")
	found, err := in.TopicsWhere(limit(t), func(name string) bool { return name == good.Name })
	if err != nil || !maps.Equal(found, map[string]Topic{good.Name: good}) {
		t.Errorf("%+v, %v", found, err)
	}
	if _, err := in.TopicsWhere(limit(t), func(name string) bool { return name == broken.Name }); !errors.Is(err, kerr.InvalidTopicException) {
		t.Errorf("a topic that is wanted: %v", err)
	}
}
