package kafka

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riftline/riftline/shared/connector"
)

func TestReadAll(t *testing.T) {
	everywhere(t, func(t *testing.T, k connector.Kafka) {
		topic := makeTopic(t, k, 3, nil)
		p := producer(t, k, name(t, "source"))
		fence(t, p)
		var want []string
		for i := range 5 {
			value := fmt.Sprint("v", i)
			publish(t, p, topic, Marker{fmt.Sprint("i", i), int64(i + 1)}, value)
			want = append(want, value)
		}
		for _, open := range []bool{true, false} {
			var got []string
			x, err := p.ReadAll(limit(t), topic.Name, open, func(r *kgo.Record) error {
				got = append(got, string(r.Value))
				return nil
			})
			slices.Sort(got)
			if err != nil || !slices.Equal(got, want) || x.Records != 5 || !x.Whole || x.Topic.ID != topic.ID {
				t.Errorf("open %v: %v, %+v, %v", open, got, x, err)
			}
		}
		stop := errors.New("enough")
		if _, err := p.ReadAll(limit(t), topic.Name, true, func(*kgo.Record) error { return stop }); !errors.Is(err, stop) {
			t.Errorf("the caller's error: %v", err)
		}
		if _, err := p.ReadAll(limit(t), name(t, "absent"), true, func(*kgo.Record) error { return nil }); !errors.Is(err, ErrTopicMissing) {
			t.Errorf("a topic that is not there: %v", err)
		}
	})
}
