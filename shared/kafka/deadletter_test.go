package kafka

import (
	"errors"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riftline/riftline/shared/connector"
)

func deadLetters(t *testing.T, k connector.Kafka) *DeadLetters {
	t.Helper()
	d, err := NewDeadLetters(k, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

func TestDeadLetters(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, k connector.Kafka) {
		topic := name(t, "dead")
		for range 2 { // the topic is there the second time
			d := deadLetters(t, k)
			if err := d.Ready(limit(t), topic, 1); err != nil {
				t.Fatal(err)
			}
			if err := d.Produce(limit(t), []*kgo.Record{{Topic: topic, Value: []byte("a")}, {Topic: topic, Value: make([]byte, 900_000)}, {Topic: topic}}); err != nil {
				t.Fatal(err)
			}
		}
		c := consumer(t, k, name(t, "group"))
		found, err := c.Topics(limit(t), []string{topic})
		if err != nil || found[topic].Partitions != 1 {
			t.Fatalf("%+v, %v", found, err)
		}
		b, err := c.Bounds(limit(t), topic)
		if err != nil || b[0].StableEnd != 6 {
			t.Fatalf("%+v, %v", b, err)
		}
		if _, err := admin(t, k).DeleteTopics(limit(t), topic); err != nil {
			t.Fatal(err)
		}
	})
}

func TestDeadLettersAreRefused(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		code *kerr.Error
		want error
	}{
		"no right to create":   {kerr.TopicAuthorizationFailed, ErrAuthorization},
		"too many replicas":    {kerr.InvalidReplicationFactor, kerr.InvalidReplicationFactor},
		"made by another task": {kerr.TopicAlreadyExists, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, k := brokers(t)
			c.ControlKey(int16(kmsg.CreateTopics), func(req kmsg.Request) (kmsg.Response, error, bool) {
				if tt.want == nil {
					if err := c.CreateTopic("dead", 1, nil); err != nil {
						t.Error(err)
					}
				}
				resp := req.ResponseKind().(*kmsg.CreateTopicsResponse)
				one := kmsg.NewCreateTopicsResponseTopic()
				one.Topic, one.ErrorCode = "dead", tt.code.Code
				resp.Topics = append(resp.Topics, one)
				return resp, nil, true
			})
			if err := deadLetters(t, k).Ready(limit(t), "dead", 3); !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
				t.Fatalf("%v, want %v", err, tt.want)
			}
		})
	}
}

// TestADeadLettersTimeIsRefused: since Kafka 3.6 a topic takes no time that is too far ahead.
func TestADeadLettersTimeIsRefused(t *testing.T) {
	t.Parallel()
	c, k := brokers(t)
	d := deadLetters(t, k)
	if err := d.Ready(limit(t), "dead", 1); err != nil {
		t.Fatal(err)
	}
	c.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		asked := req.(*kmsg.ProduceRequest).Topics[0]
		resp := req.ResponseKind().(*kmsg.ProduceResponse)
		topic, one := kmsg.NewProduceResponseTopic(), kmsg.NewProduceResponseTopicPartition()
		topic.Topic, topic.TopicID, one.ErrorCode = asked.Topic, asked.TopicID, kerr.InvalidTimestamp.Code
		topic.Partitions = append(topic.Partitions, one)
		resp.Topics = append(resp.Topics, topic)
		return resp, nil, true
	})
	err := d.Produce(limit(t), []*kgo.Record{{Topic: "dead"}})
	if !errors.Is(err, kerr.InvalidTimestamp) || !strings.Contains(err.Error(), "message.timestamp.after.max.ms") {
		t.Fatal(err)
	}
}
