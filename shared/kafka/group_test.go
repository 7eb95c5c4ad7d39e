package kafka

import (
	"context"
	"errors"
	"maps"
	"strings"
	"testing"

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
