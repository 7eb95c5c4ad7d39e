package kafka

import (
	"errors"
	"io"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestALostConnectionIsNotTheEnd: a broker that closes its connections is io.EOF to the client. Whoever reads up to an
// offset must not take it for that offset: the records up to there would be left out for good.
func TestALostConnectionIsNotTheEnd(t *testing.T) {
	t.Parallel()
	cluster, k := brokers(t)
	topic := makeTopic(t, k, 1, nil)
	produce(t, k, records(topic.Name, "i", "x")...)
	c := consumer(t, k, "none")
	if _, err := c.Topics(limit(t), []string{topic.Name}); err != nil {
		t.Fatal(err)
	}
	cluster.ControlKey(kmsg.Fetch.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		return nil, errors.New("the connection is closed"), true
	})
	r := c.Read(topic, 0, 0, 1)
	defer r.Close()
	r.patience = 0
	got, _, err := r.Next(limit(t))
	if len(got) != 0 || errors.Is(err, io.EOF) || !errors.Is(err, ErrUnreachable) {
		t.Fatalf("%d records, %v", len(got), err)
	}
}
